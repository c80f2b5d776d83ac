/*
 * The process that keeps a VNF's network namespace alive.
 *
 * It does nothing but wait: it reaps what is left to it and ends at SIGTERM or SIGINT. It
 * handles both itself because the kernel ignores unhandled signals to the first process of
 * a PID namespace, and a holder that ignored SIGTERM would take ten seconds to stop.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

int main(void) {
    sigset_t awaited;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &awaited, NULL) != 0)
        return EXIT_FAILURE;
    for (;;) {
        int signal;
        if (sigwait(&awaited, &signal) != 0)
            return EXIT_FAILURE;
        if (signal != SIGCHLD)
            return EXIT_SUCCESS;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}
