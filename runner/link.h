#ifndef EASEL_RUNNER_LINK_H
#define EASEL_RUNNER_LINK_H

/*
 * The runner's life on its socket to the gateway (docs/PROTOCOL.md): says hello, holds
 * one model, draws pictures, ends when the socket closes. device as vk_open() wants it.
 * Returns the exit status.
 */
int link_run(int fd, const char *device);

#endif
