/*
 * From the configuration to what each kind of process is told (ipc/settings.h).
 * The late_plan members and the certificates are the caller's.  Strings and networks
 * are borrowed from the configuration.
 */
#ifndef CONFIG_PACK_H
#define CONFIG_PACK_H

#include "config/config.h"

/* One signature makes a handshake (a HelloRetryRequest needs none): after it the
 * signer closes its end of the channel. */
#define SIGN_LIMIT 1

void config_to_rules(const struct config_rules *from, struct rules *to);
void config_to_launcher(const struct config *c, struct launcher_settings *s);
void config_to_auth(const struct config *c, struct auth_settings *s);
void config_to_worker(const struct config *c, struct worker_settings *s);
void config_to_keys(const struct config *c, struct keys_settings *s);

#endif
