/*
 * Numbers of system calls and constants that older headers lack.  The numbers above 423
 * are the same on all architectures.
 */
#ifndef PROBE_NUMBERS_H
#define PROBE_NUMBERS_H

#include <sys/syscall.h>

#define NR_PIDFD_SEND_SIGNAL 424
#define NR_IO_URING_SETUP 425
#define NR_IO_URING_ENTER 426
#define NR_IO_URING_REGISTER 427
#define NR_OPEN_TREE 428
#define NR_MOVE_MOUNT 429
#define NR_FSOPEN 430
#define NR_FSCONFIG 431
#define NR_FSMOUNT 432
#define NR_FSPICK 433
#define NR_PIDFD_OPEN 434
#define NR_CLONE3 435
#define NR_CLOSE_RANGE 436
#define NR_OPENAT2 437
#define NR_PIDFD_GETFD 438
#define NR_FACCESSAT2 439
#define NR_PROCESS_MADVISE 440
#define NR_EPOLL_PWAIT2 441
#define NR_MOUNT_SETATTR 442
#define NR_QUOTACTL_FD 443
#define NR_LANDLOCK_CREATE 444
#define NR_LANDLOCK_ADD 445
#define NR_LANDLOCK_RESTRICT 446
#define NR_MEMFD_SECRET 447
#define NR_PROCESS_MRELEASE 448
#define NR_FUTEX_WAITV 449
#define NR_CACHESTAT 451
#define NR_MAP_SHADOW_STACK 453
#define NR_FUTEX_WAKE 454
#define NR_FUTEX_WAIT 455
#define NR_FUTEX_REQUEUE 456
#define NR_STATMOUNT 457
#define NR_LISTMOUNT 458
#define NR_LSM_GET_SELF_ATTR 459
#define NR_LSM_SET_SELF_ATTR 460
#define NR_LSM_LIST_MODULES 461
#define NR_MSEAL 462
#define NR_OPEN_TREE_ATTR 467
#define NR_FILE_SETATTR 469
#define NR_LISTNS 470
#define NR_HIGHEST 470 /* what is known today; the sweep goes on behind it */

/* x86-64 only; elsewhere a number that does not exist */
#if defined(__x86_64__)
#define ONLY_X86(n) (n)
#else
#define ONLY_X86(n) 9999
#endif
#define NR_OPEN ONLY_X86(2)
#define NR_PIPE ONLY_X86(22)
#define NR_DUP2 ONLY_X86(33)
#define NR_PAUSE ONLY_X86(34)
#define NR_ALARM ONLY_X86(37)
#define NR_FORK ONLY_X86(57)
#define NR_VFORK ONLY_X86(58)
#define NR_CREAT ONLY_X86(85)
#define NR_READLINK ONLY_X86(89)
#define NR_MKNOD ONLY_X86(133)
#define NR_USELIB ONLY_X86(134)
#define NR_USTAT ONLY_X86(136)
#define NR_SYSFS ONLY_X86(139)
#define NR_MODIFY_LDT ONLY_X86(154)
#define NR_ARCH_PRCTL ONLY_X86(158)
#define NR_IOPL ONLY_X86(172)
#define NR_IOPERM ONLY_X86(173)
#define NR_TIME ONLY_X86(201)
#define NR_SET_THREAD_AREA ONLY_X86(205)
#define NR_LOOKUP_DCOOKIE ONLY_X86(212)
#define NR_EPOLL_CREATE ONLY_X86(213)
#define NR_SIGNALFD ONLY_X86(282)
#define NR_EVENTFD ONLY_X86(284)
#define NR_URETPROBE 335
#define NR_UPROBE 336

#endif
