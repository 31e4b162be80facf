/*
 * How many workers are kept ready, and for how long each is kept.
 */
#include <signal.h>

#include "common/log.h"
#include "launcher/launcher.h"

#define START_MS 30000 /* from exec to hello */
#define RETIRE_MS 5000 /* from RETIRE to the end of one that has no connection */
#define GROW_MS 250    /* between two doublings of what is kept ready */

void
workers_first(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];

	/* One is started in any case: if it cannot be, this is the time to say so.
	 * In the fork model that is the template. */
	st->wanted = st->set.process_min_avail;
	if (st->wanted == 0 && st->set.model != MODEL_FORK)
		st->wanted = 1;
	st->grown_ms = now;
	workers_start_ready(s, now);
}

void
workers_missed(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];

	/* fork without waiting children: the direct fork is what was asked for */
	if (st->set.model == MODEL_FORK && st->set.process_min_avail == 0)
		return;
	st->missed = true;
	if (st->wanted > 0 && now - st->grown_ms < GROW_MS)
		return;
	st->grown_ms = now;
	st->wanted = ready_more(st->wanted, st->set.process_limit);
}

static void
calm(struct service_state *st)
{
	if (!st->missed)
		st->wanted = ready_less(st->wanted, st->set.process_min_avail);
	st->missed = false;
}

/* Those above what is kept ready, once they have had nothing to do for a while. */
static void
end_idle(enum service s, uint64_t now)
{
	struct service_state *st = &lr.service[s];
	struct workers all = workers_of(s);
	unsigned int have = ready_count(&all);
	struct worker *w;

	while (have > st->wanted && (w = ready_idle(&all, now, st->set.idle_kill_ms)) != NULL) {
		workers_retire(w, now);
		have--;
	}
}

static void
end_silent(uint64_t now)
{
	for (unsigned int i = 0; i < lr.nworkers; i++) {
		const struct worker *w = &lr.workers[i];

		if (w->kind == W_FREE || w->pid < 2)
			continue;
		if (!w->ready && w->fd != -1 && now > w->born_ms + START_MS) {
			log_errx("%s-login: worker %d is not ready after %d s: killed",
			    service_name((enum service)w->service), (int)w->pid, START_MS / 1000);
			kill(w->pid, SIGKILL);
		} else if (w->retiring && w->retired_ms != 0 && w->conns == 0 &&
		    now > w->retired_ms + RETIRE_MS) {
			log_errx("%s-login: worker %d was told to end and does not: killed",
			    service_name((enum service)w->service), (int)w->pid);
			kill(w->pid, SIGKILL);
		}
	}
}

/* Age and use, without a gap: number two starts beside it; when that has said hello,
 * number one and its waiting children are told to retire. */
static void
replace_old_template(enum service s, uint64_t now)
{
	const struct service_settings *set = &lr.service[s].set;
	struct worker *old = NULL, *fresh = NULL;

	for (unsigned int i = 0; i < lr.nworkers; i++) {
		struct worker *w = &lr.workers[i];

		if (w->kind != W_TEMPLATE || w->service != s || w->retiring)
			continue;
		if (w->uses >= set->template_max_uses ||
		    now >= w->born_ms + set->template_max_age_ms)
			old = w;
		else
			fresh = w;
	}
	if (old == NULL)
		return;
	if (fresh != NULL && fresh->ready)
		workers_retire_template(old, now);
	else if (fresh == NULL)
		workers_start_process(s, now);
}

void
workers_tick(uint64_t now)
{
	end_silent(now);
	for (int i = 0; i < SERVICE__MAX; i++) {
		enum service s = (enum service)i;

		if (!lr.service[s].set.enabled || lr.draining || !lr.started)
			continue;
		if (lr.service[s].set.model == MODEL_FORK)
			replace_old_template(s, now);
		calm(&lr.service[s]);
		workers_start_ready(s, now);
		end_idle(s, now);
	}
}
