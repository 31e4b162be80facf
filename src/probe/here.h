/*
 * The program for people: --here, --one, --list, --compare.
 */
#ifndef PROBE_HERE_H
#define PROBE_HERE_H

int here_main(int argc, char **argv);

#endif
