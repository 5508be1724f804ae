/*
 * Two functions of glibc, as small as what a Rust program needs of them. A static program takes the C library's own
 * along with all that those can do: every number format of scanf, and translations of messages from files.
 */

#include <stdlib.h>
#include <string.h>

/*
 * pthread_getattr_np(3) reads /proc/self/maps with it, to find the main thread's stack. Nothing else calls it; a format
 * that is not that one matches nothing.
 */
int __isoc99_sscanf(const char *text, const char *format, unsigned long *from, unsigned long *to)
{
	char *end;

	if (strcmp(format, "%lx-%lx") != 0)
		return 0;
	*from = strtoul(text, &end, 16);
	if (end == text || *end != '-')
		return 0;
	text = end + 1;
	*to = strtoul(text, &end, 16);
	return end == text ? 1 : 2;
}

/* Messages stay as they are, as they do in the locale "C", which a Rust program never leaves. */
char *__dcgettext(const char *domain, const char *text, int category)
{
	(void)domain;
	(void)category;
	return (char *)text;
}

char *dcgettext(const char *domain, const char *text, int category)
{
	return __dcgettext(domain, text, category);
}
