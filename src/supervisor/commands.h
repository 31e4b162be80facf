/*
 * The commands that need what the supervisor knows.
 */
#ifndef SUPERVISOR_COMMANDS_H
#define SUPERVISOR_COMMANDS_H

#define DEFAULT_CONFIG SYSCONF_DIR "/gatehouse/gatehouse.conf"

/* `gatehouse check`: exit status 0, or 78 (EX_CONFIG) if it would not start. */
int check_main(int argc, char **argv);
/* `gatehouse config [-n]`. */
int config_main(int argc, char **argv);
/* stats: what the running supervisor has counted. */
int stats_main(int argc, char **argv);

#endif
