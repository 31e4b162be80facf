/*
 * The layers that a process enters by itself after exec: not dumpable,
 * memory-deny-write-execute, Landlock, and the last seccomp filter.  Linked into
 * every helper; needs neither libseccomp nor libcap-ng, allocates nothing.
 *
 * late_enter() does dumpable, MDWE and Landlock and fills the report (the
 * states of the layers it knows; the others stay as they are).  Returns 0, or -1
 * when a layer that the plan requires is not enforced: the caller logs
 * late_reason() and ends with EX_OSERR; nothing may go on without.
 *
 * late_filter() installs the filter in slot (ipc/filters.h) if plan->seccomp is
 * not NEED_OFF.  In the report it is marked beforehand by late_enter, since
 * the hello goes out before the filter may forbid it; failing here is fatal.
 */
#ifndef CONFINE_LATE_H
#define CONFINE_LATE_H

#include "confine/landlock.h"
#include "confine/layers.h"
#include "ipc/filters.h"
#include "ipc/settings.h"

int late_enter(const struct late_plan *plan, struct layer_report *rep);
/* The same, and these rules in the Landlock domain. */
int late_enter_rules(const struct late_plan *plan, const struct landlock_rule *rules,
    unsigned int n, struct layer_report *rep);
int late_filter(const struct late_plan *plan, enum filter_slot slot);
/* Why the last late_enter failed: layer, errno, way out.  Static buffer. */
const char *late_reason(void);

#endif
