/*
 * In the place of a gatehouse process.  -1: argv[0] is no name of one.
 */
#ifndef PROBE_STANDIN_H
#define PROBE_STANDIN_H

int standin_main(int argc, char **argv);

#endif
