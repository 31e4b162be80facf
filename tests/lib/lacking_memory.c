#include <errno.h>
#include <string.h>

#include "faulty_sign.h"
#include "ipc/msg.h"

int __real_msg_write(int fd, struct msgout *m);
int __wrap_msg_write(int fd, struct msgout *m);

int
__wrap_msg_write(int fd, struct msgout *m)
{
	static unsigned int left = LACKING_TIMES;
	uint16_t type;
	uint32_t id;

	memcpy(&type, m->buf, sizeof(type));
	memcpy(&id, m->buf + 4, sizeof(id));
	if (type == MSG_CONN_TLS && id == LACKING_CONN && left > 0) {
		left--;
		errno = ENOBUFS;
		return -1;
	}
	return __real_msg_write(fd, m);
}
