/*
 * A matrix of sandboxes by class, from the JSON lines of several runs.
 */
#ifndef PROBE_COMPARE_H
#define PROBE_COMPARE_H

int compare(int nfiles, char **files);

#endif
