/*
 * gatehouse-keys: owns the private keys; signs TLS handshakes and nothing else.
 * Order: secret memory before libcrypto's first allocation, late layers, rehearsal
 * with throw-away keys, hello, the key files' bytes, last filter; only behind it is
 * a key parsed.
 *
 * System calls after the last filter (policy/key-signer.policy): epoll_pwait and
 * epoll_ctl on LOOP_FD, recvmsg, write, close, getrandom, exit_group.
 */
#include <openssl/crypto.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "confine/late.h"
#include "ipc/fds.h"
#include "ipc/filters.h"
#include "ipc/settings.h"
#include "keys/channel.h"
#include "keys/key.h"
#include "keys/loop.h"
#include "keys/peer.h"
#include "keys/resume.h"
#include "keys/secret.h"

#define EXPIRE_MS 30000 /* a session is wiped at most this long after its time */

static const loop_fn handlers[WATCH__MAX] = {
    [WATCH_CONTROL] = peer_control_ready,
    [WATCH_LAUNCHER] = peer_launcher_ready,
    [WATCH_AUTH] = peer_auth_ready,
    [WATCH_CHANNEL] = channel_ready,
};

static struct keys_settings set;

static void
read_settings(void)
{
	static uint8_t buf[KEYS_SETTINGS_MAX];
	long len = settings_read(FD_SETTINGS, buf, sizeof(buf));
	struct rd r = {.p = buf, .end = buf + (len > 0 ? len : 0)};

	if (len == -1 || !keys_settings_unpack(&r, &set))
		fatalx(EX_CONFIG, "the settings from the supervisor cannot be read");
	log_set_debug(set.debug != 0);
}

int
main(void)
{
	struct layer_report rep = {0};

	prctl(PR_SET_NAME, "gatehouse-keys");
	signal(SIGPIPE, SIG_IGN); /* a peer that is gone is an error of write */
	if (filters_map(FD_FILTERS) == -1)
		fatal(EX_OSERR, "cannot map the filters");
	read_settings();
	if (!secret_init(set.arena_bytes, (enum layer_need)set.memory, &rep))
		fatal(EX_OSERR, "no secret memory for the keys (memfd_secret): raise the memlock limit "
		    "above %u KiB, or set `confine_optional = secret-memory`", set.arena_bytes >> 10);
	if (late_enter(&set.plan, &rep) == -1)
		fatalx(EX_OSERR, "%s", late_reason());
	if (!key_rehearse())
		fatalx(EX_SOFTWARE, "rehearsal of reading keys and signing failed");
	if (fds_fill() == -1 || loop_init() == -1)
		fatal(EX_OSERR, "epoll");
	channels_init(set.sign_limit, set.sign_rate);
	if (!resume_init(set.session_lifetime_ms))
		fatal(EX_OSERR, "no memory for resumable sessions");
	peers_start(&rep);
	peers_collect_keys(set.nkeys);
	if (late_filter(&set.plan, FILTER_SELF) == -1)
		fatal(EX_OSERR, "cannot install the key-signer filter");
	peers_answer_keys();
	/* Without supervisor the connections that are here are served to their end. */
	while (!peers_gone() || channels_open() > 0) {
		loop_once(handlers, resume_count() > 0 ? EXPIRE_MS : -1);
		resume_expire(loop_now());
	}
	_exit(EX_OK);
}
