/*
 * Workers are ended before the launcher when memory runs out.  There is no /proc in
 * its root, but it was given its own oom_score_adj as a descriptor: raised for the time
 * of a fork, so that the child has it, and put back, which the kernel allows down to what
 * a privileged process has set last.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "ipc/fds.h"
#include "launcher/launcher.h"

#define NOT_RAISED INT_MIN

static bool available;
static int raised;

static bool
get(int *score)
{
	char text[16] = "";

	if (pread(FD_OOM_SCORE, text, sizeof(text) - 1, 0) <= 0)
		return false;
	*score = atoi(text);
	return true;
}

static bool
put(int score)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", score);

	return write(FD_OOM_SCORE, text, (size_t)len) == len;
}

bool
score_init(void)
{
	int score;

	available = get(&score);
	return available;
}

int
score_raise(uint16_t least, int *before)
{
	int now;

	*before = NOT_RAISED;
	if (!available || least == OOM_SCORE_INHERIT)
		return 0;
	if (!get(&now))
		return -1;
	if (now >= least) /* whoever started us wants us gone first: so be it */
		return 0;
	if (!put(least))
		return -1;
	raised = least;
	*before = now;
	return 0;
}

void
score_back(int before)
{
	int saved = errno, now;

	/* If somebody has set another meanwhile, that one is meant. */
	if (before != NOT_RAISED && (!get(&now) || (now == raised && !put(before))))
		log_warn("the launcher's oom_score_adj stays that of its workers");
	errno = saved;
}
