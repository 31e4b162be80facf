#include "ipc/fds.h"

#include <fcntl.h>
#include <unistd.h>

int
fds_fill(void)
{
	for (int fd = 0; fd < FD_FIRST_FREE; fd++)
		if (fcntl(fd, F_GETFD) == -1 && dup3(FD_LOG, fd, 0) == -1)
			return -1;
	return 0;
}
