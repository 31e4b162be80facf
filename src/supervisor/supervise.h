/*
 * `gatehouse` without a command: the supervisor.
 */
#ifndef SUPERVISOR_SUPERVISE_H
#define SUPERVISOR_SUPERVISE_H

#include <stdbool.h>

/* Runs until INT, TERM or a failed start; returns the exit status (sysexits.h). */
int supervise(const char *config_file, bool foreground);

#endif
