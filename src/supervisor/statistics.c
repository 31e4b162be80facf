#include "supervisor/statistics.h"

#include <stdbool.h>

#include "supervisor/rundir.h"

#define EVERY_MS 1000 /* however often somebody sends us news */

static struct stats total;
static bool dirty = true; /* the file is to be there from the start */
static uint64_t due_ms;

void
statistics_add(struct stats *before, const struct stats *now)
{
	for (int s = 0; s < SERVICE__MAX; s++)
		for (int k = 0; k < COUNT__MAX; k++)
			if (now->n[s][k] > before->n[s][k]) /* they never shrink; or a liar */
				total.n[s][k] += now->n[s][k] - before->n[s][k];
	*before = *now;
	dirty = true;
}

void
statistics_tick(uint64_t now)
{
	if (!dirty || now < due_ms)
		return;
	rundir_stats(&total);
	dirty = false;
	due_ms = now + EVERY_MS;
}

uint64_t
statistics_next(void)
{
	return dirty ? due_ms : UINT64_MAX;
}
