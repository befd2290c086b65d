// Runs a command whose whole process group dies when the command ends or when the process that started it dies, however
// that happens (kill -9 of a test runner included). Servers that fork workers need this: killing their master leaves
// the workers behind. The command keeps this process's pid.
//
//   leash COMMAND [ARGUMENT...]
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "program.h"

static int open_pid(pid_t pid) {
  return (int)syscall(SYS_pidfd_open, pid, 0);
}

// Never returns. Closes its standard streams so that a reader of the command's output sees its end.
static void watch(int starter, int command, pid_t group) {
  for (int fd = 0; fd < 3; fd++) close(fd);
  prctl(PR_SET_NAME, "leash");
  struct pollfd fds[2] = {{.fd = starter, .events = POLLIN}, {.fd = command, .events = POLLIN}};
  while (poll(fds, 2, -1) < 0 && errno == EINTR) continue;
  kill(-group, SIGKILL);  // this process is in the group as well
  _exit(0);
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: leash COMMAND [ARGUMENT...]\n");
    return 2;
  }
  if (setpgid(0, 0)) perror("setpgid");
  pid_t self = getpid();
  int starter = open_pid(getppid()), command = open_pid(self);
  if (starter < 0 || command < 0) {
    perror("pidfd_open");
    return 1;
  }
  // Two forks, so that the watcher is no child of the command: some commands end at the first SIGCHLD.
  pid_t middle = fork();
  if (middle == 0) {
    if (fork() == 0) {
      signal(SIGTERM, SIG_IGN);  // a signal to the group is for the command; the watcher outlives it
      signal(SIGINT, SIG_IGN);
      signal(SIGHUP, SIG_IGN);
      watch(starter, command, self);
    }
    _exit(0);
  }
  waitpid(middle, NULL, 0);
  close(starter);
  close(command);
  execvp(argv[1], argv + 1);
  fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
  return 127;
}
