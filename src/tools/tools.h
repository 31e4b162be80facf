/*
 * Commands that have nothing to do with a running gatehouse.
 */
#ifndef TOOLS_TOOLS_H
#define TOOLS_TOOLS_H

int policy_main(int argc, char **argv);  /* `gatehouse policy ...`, policy_cmd.c */
int confine_main(int argc, char **argv); /* `gatehouse confine ...`, confine_cmd.c */

#endif
