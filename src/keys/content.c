#include "keys/content.h"

#include <string.h>

#define RANDOMS 64

static const char tls13_prefix[] = /* 64 spaces */
    "                                                                "
    "TLS 1.3, server CertificateVerify"; /* the NUL that ends it is part of it */

/* Curves of ServerKeyExchange, with the length of a point; 04: uncompressed. */
static const struct {
	uint16_t group;
	uint8_t len;
	bool sec1;
} curves[] = {
    {23, 65, true},  /* secp256r1 */
    {24, 97, true},  /* secp384r1 */
    {25, 133, true}, /* secp521r1 */
    {29, 32, false}, /* x25519 */
    {30, 56, false}, /* x448 */
};

static enum content
tls12(const uint8_t *p, size_t len, const char **why)
{
	uint16_t group;

	if (len < RANDOMS + 4 || p[RANDOMS] != 3) {
		*why = "neither a CertificateVerify nor a ServerKeyExchange with a named curve";
		return CONTENT_BAD;
	}
	p += RANDOMS;
	len -= RANDOMS;
	group = (uint16_t)(p[1] << 8 | p[2]);
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
		if (curves[i].group != group)
			continue;
		if (p[3] == curves[i].len && len == 4u + curves[i].len &&
		    (!curves[i].sec1 || p[4] == 4))
			return CONTENT_TLS12;
		*why = "a point that does not fit its curve";
		return CONTENT_BAD;
	}
	*why = "an unknown curve";
	return CONTENT_BAD;
}

enum content
content_check(const uint8_t *p, size_t len, const char **why)
{
	*why = "";
	if (len < sizeof(tls13_prefix) || memcmp(p, tls13_prefix, sizeof(tls13_prefix)) != 0)
		return tls12(p, len, why);
	len -= sizeof(tls13_prefix);
	if (len == 32 || len == 48)
		return CONTENT_TLS13;
	*why = "a CertificateVerify without a hash of 32 or 48 bytes";
	return CONTENT_BAD;
}

static const struct {
	uint16_t sigalg;
	enum key_type type;
	int tls13_bits; /* EC in TLS 1.3: the one curve; 0: any; -1: not in TLS 1.3 */
	struct scheme scheme;
} schemes[] = {
    {0x0403, KEY_EC, 256, {"SHA256", 0}},
    {0x0503, KEY_EC, 384, {"SHA384", 0}},
    {0x0603, KEY_EC, 521, {"SHA512", 0}},
    {0x0401, KEY_RSA, -1, {"SHA256", 0}},
    {0x0501, KEY_RSA, -1, {"SHA384", 0}},
    {0x0601, KEY_RSA, -1, {"SHA512", 0}},
    {0x0804, KEY_RSA, 0, {"SHA256", 1}},
    {0x0805, KEY_RSA, 0, {"SHA384", 1}},
    {0x0806, KEY_RSA, 0, {"SHA512", 1}},
    {0x0807, KEY_ED25519, 0, {NULL, 0}},
};

const struct scheme *
content_scheme(uint16_t sigalg, enum key_type type, int bits, enum content content)
{
	for (size_t i = 0; content != CONTENT_BAD && i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (schemes[i].sigalg != sigalg || schemes[i].type != type)
			continue;
		if (content == CONTENT_TLS12 || schemes[i].tls13_bits == 0 ||
		    schemes[i].tls13_bits == bits)
			return &schemes[i].scheme;
	}
	return NULL;
}

bool
content_request(struct rd *r, struct sign_request *q)
{
	q->key = rd_u16(r);
	q->sigalg = rd_u16(r);
	q->tbs = rd_block(r, CONTENT_MAX, &q->len);
	return rd_end(r);
}
