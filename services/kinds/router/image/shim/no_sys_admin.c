/*
 * FRR's daemons ask for CAP_SYS_ADMIN when they start, and end when they do not get it. They
 * need it for VRFs made of network namespaces alone, of which a router has none; with it, a
 * hole in bgpd would be a hole in the host. Preloaded, this leaves it out of what they ask for.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

#define CAP_SYS_ADMIN 21
#define MOST 64

typedef int (*set_flag)(void *caps, int flag, int count, const int *values, int on);

int cap_set_flag(void *caps, int flag, int count, const int *values, int on)
{
	set_flag real = (set_flag)dlsym(RTLD_NEXT, "cap_set_flag");
	int kept[MOST];
	int number = 0;

	if (real == NULL || count > MOST)
		return -1;
	for (int i = 0; i < count; i++)
		if (values[i] != CAP_SYS_ADMIN)
			kept[number++] = values[i];
	return number ? real(caps, flag, number, kept, on) : 0;
}
