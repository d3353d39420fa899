/*
 * domain: see domain.h. A name is taken label by label. An ASCII label is checked and lower-cased
 * here, without libidn2: nearly all mail goes this way. A label with other bytes goes through
 * libidn2 (IDNA2008 with the mapping of UTS #46, non-transitional, NFC), and so does an A-label
 * ("xn--..."), since only the one that libidn2 would make of its U-label is a spelling; any other
 * would be a second one, and is refused.
 *
 * Separators are those of UTS #46: '.', U+3002, U+FF0E and U+FF61. A label such as `ab--cd` is no
 * IDN and stays as it is (there are such domains).
 */
#include "core/domain.h"

#include <idn2.h>
#include <stdint.h>
#include <string.h>

#define LABEL_MAX 63
#define ULABEL_MAX 255 /* bytes of UTF-8: more never become 63 bytes of ASCII */

enum domain_kind { KIND_MAIL, KIND_HOST };

struct name {
	enum domain_kind kind;
	char *out;
	size_t used;
	unsigned labels;
	bool last_numeric;
};

/* A separator that is no '.', at `text`: its length in bytes, 0 where there is none. */
static size_t
wide_dot_length(const char *text, size_t left)
{
	if (left >= 3 &&
	    (memcmp(text, "\xe3\x80\x82", 3) == 0 || memcmp(text, "\xef\xbc\x8e", 3) == 0 ||
		memcmp(text, "\xef\xbd\xa1", 3) == 0))
		return 3;
	return 0;
}

/* The lower-case form of a byte that may stand in a label, or '\0'. */
static char
fold(char byte, enum domain_kind kind)
{
	if ((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-')
		return byte;
	if (byte >= 'A' && byte <= 'Z')
		return (char)(byte + ('a' - 'A'));
	return byte == '_' && kind == KIND_HOST ? byte : '\0';
}

/*
 * What libidn2 makes of one label, in `out`. False: it is none, or not one of at most 63 bytes.
 */
static bool
convert_label(const char *label, size_t length, char out[LABEL_MAX + 1])
{
	char copy[ULABEL_MAX + 1];
	uint8_t *converted = NULL;

	if (length > ULABEL_MAX || memchr(label, '\0', length) != NULL)
		return false;
	memcpy(copy, label, length);
	copy[length] = '\0';
	if (idn2_lookup_u8((const uint8_t *)copy, &converted,
		IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	size_t converted_length = strlen((const char *)converted);
	bool fits = converted_length <= LABEL_MAX;
	if (fits)
		memcpy(out, converted, converted_length + 1);
	idn2_free(converted);
	return fits;
}

/* Is this lower-case label, of a mail domain, the one spelling of what it stands for? */
static bool
is_canonical(const char *label, size_t length)
{
	char again[LABEL_MAX + 1];

	if (length < 4 || memcmp(label, "xn--", 4) != 0)
		return true;
	return convert_label(label, length, again) && strlen(again) == length &&
	       memcmp(label, again, length) == 0;
}

static bool
is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

/* Could an address end in this label ("127.0.0.1", "0x7f.0x1")? Postfix would connect to it. */
static bool
is_numeric(const char *label, size_t length)
{
	const bool hexadecimal = length > 2 && label[0] == '0' && label[1] == 'x';

	for (size_t i = hexadecimal ? 2 : 0; i < length; i++) {
		if (!is_digit(label[i]) && !(hexadecimal && label[i] >= 'a' && label[i] <= 'f'))
			return false;
	}
	return true;
}

static bool
add_ascii_label(struct name *name, const char *label, size_t length)
{
	char *at = name->out + name->used;

	if (length == 0 || length > LABEL_MAX || label[0] == '-' || label[length - 1] == '-')
		return false;
	if (name->used + (name->used > 0) + length > DOMAIN_MAX)
		return false;
	if (name->used > 0)
		*at++ = '.';
	for (size_t i = 0; i < length; i++) {
		at[i] = fold(label[i], name->kind);
		if (at[i] == '\0')
			return false;
	}
	/* Names of hosts are compared with what stands in DNS, where any label may stand. */
	if (name->kind == KIND_MAIL && !is_canonical(at, length))
		return false;
	name->used = (size_t)(at - name->out) + length;
	name->labels++;
	name->last_numeric = is_numeric(at, length);
	return true;
}

/* A label with bytes outside of ASCII. */
static bool
add_wide_label(struct name *name, const char *label, size_t length)
{
	char converted[LABEL_MAX + 1];

	return convert_label(label, length, converted) &&
	       add_ascii_label(name, converted, strlen(converted));
}

struct label {
	size_t length;
	size_t dot; /* length of the separator behind it, 0: the end */
	bool ascii;
};

static struct label
first_label(const char *text, size_t left)
{
	struct label label = {.ascii = true};

	for (; label.length < left; label.length++) {
		const char *at = text + label.length;

		if ((unsigned char)*at < 0x80) {
			label.dot = *at == '.';
		} else {
			label.dot = wide_dot_length(at, left - label.length);
			label.ascii = label.ascii && label.dot > 0;
		}
		if (label.dot > 0)
			break;
	}
	return label;
}

/* A separator at the very end ends the last label, and no other follows. */
static bool
add_labels(struct name *name, const char *text, size_t length)
{
	const char *end = text + length;

	while (text < end) {
		const struct label label = first_label(text, (size_t)(end - text));

		if (!(label.ascii ? add_ascii_label : add_wide_label)(name, text, label.length))
			return false;
		text += label.length + label.dot;
	}
	return name->labels > 0;
}

static bool
normalise(const char *text, size_t length, enum domain_kind kind, char out[DOMAIN_SIZE])
{
	struct name name = {.kind = kind, .out = out};
	bool good = add_labels(&name, text, length);

	if (kind == KIND_MAIL)
		good = good && name.labels >= 2 && !name.last_numeric;
	out[good ? name.used : 0] = '\0';
	return good;
}

bool
domain_normalise(const char *text, size_t length, char out[DOMAIN_SIZE])
{
	return normalise(text, length, KIND_MAIL, out);
}

bool
domain_normalise_host(const char *text, size_t length, char out[DOMAIN_SIZE])
{
	return normalise(text, length, KIND_HOST, out);
}

const char *
domain_parent(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot != NULL ? dot + 1 : NULL;
}
