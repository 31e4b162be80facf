/*
 * One connection in one process: what a forked child and an exec'd worker do
 * between their last filter but one and their end.  Only read, write, ppoll and
 * exit_group (and in the login phase getrandom and one pinned seccomp).
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "login/proxy.h"
#include "login/session.h"
#include "login/worker.h"

static struct session session;
static struct proxy proxy;

uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* exit_group without exit handlers: they may need what the filter forbids. */
static void __attribute__((noreturn))
leave(int status)
{
	for (;;)
		syscall(SYS_exit_group, status);
}

/* Returns false when deadline (0: none) has passed. */
static bool
wait_for(struct pollfd *p, nfds_t n, uint64_t deadline)
{
	struct timespec t, *tp = NULL;

	if (deadline != 0) {
		uint64_t now = now_ms(), left = deadline > now ? deadline - now : 0;

		if (left == 0)
			return false;
		t = (struct timespec){.tv_sec = (time_t)(left / 1000),
		    .tv_nsec = (long)(left % 1000) * 1000000};
		tp = &t;
	}
	for (nfds_t i = 0; i < n; i++)
		p[i].revents = 0;
	return ppoll(p, n, tp, NULL) != 0;
}

static void __attribute__((noreturn))
serve_proxy(void)
{
	struct pollfd p[2] = {{.fd = FD_CLIENT}, {.fd = FD_MAIL}};
	short client = POLLIN, mail = POLLIN;

	while (proxy_move(&proxy, client, mail, now_ms())) {
		struct proxy_interest want;

		proxy_interest(&proxy, &want);
		p[0].fd = want.client != 0 ? FD_CLIENT : -1;
		p[1].fd = want.mail != 0 ? FD_MAIL : -1;
		p[0].events = want.client;
		p[1].events = want.mail;
		wait_for(p, 2, want.deadline);
		client = p[0].revents;
		mail = p[1].revents;
	}
	leave(0);
}

static void __attribute__((noreturn))
become_proxy(const struct worker *w)
{
	proxy_init(&proxy, session.ssl, FD_CLIENT, FD_MAIL, session.in, session.in_len);
	session_wipe(&session);
	if (w->set.template_plan.seccomp != NEED_OFF && filters_install(FILTER_TLS_PROXY) == -1) {
		log_err("cannot install the tls-proxy filter");
		leave(EX_OSERR); /* fail closed: no session with wider rights */
	}
	serve_proxy();
}

void
single_serve(struct worker *w, const struct conn_info *info)
{
	struct pollfd p[3];
	enum session_phase phase;

	session_begin(&session, w, info, FD_CLIENT, FD_AUTH, FD_SIGNER, FD_MAIL, now_ms());
	phase = session.phase;
	/* The first look costs less than a wait: the hello is usually there. */
	if (phase != SP_END)
		phase = session_move(&session, POLLIN, POLLIN);
	while (phase != SP_END && phase != SP_PROXY) {
		struct session_interest want;

		session_interest(&session, &want);
		p[0] = (struct pollfd){.fd = want.client != 0 ? FD_CLIENT : -1, .events = want.client};
		p[1] = (struct pollfd){.fd = want.auth != 0 ? FD_AUTH : -1, .events = want.auth};
		p[2] = (struct pollfd){.fd = want.mail != 0 ? FD_MAIL : -1, .events = want.mail};
		if (wait_for(p, 3, want.deadline))
			phase = session_move(&session, p[0].revents, p[1].revents);
		else
			phase = session_timeout(&session);
	}
	if (phase == SP_PROXY)
		become_proxy(w);
	leave(0);
}
