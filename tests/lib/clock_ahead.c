/*
 * time(2) on whose clock 100 s pass between any two looks at it: what falls due
 * by time falls due at once.  Linked into a test's worker with -Wl,--wrap=time.
 */
#include <time.h>

time_t __real_time(time_t *t);
time_t __wrap_time(time_t *t);

time_t
__wrap_time(time_t *t)
{
	static time_t ahead = 7200;
	time_t now = __real_time(NULL) + ahead;

	ahead += 100;
	if (t != NULL)
		*t = now;
	return now;
}
