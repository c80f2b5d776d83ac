/*
 * Deterministic authenticated encryption, in the synthetic-IV construction of Rogaway and
 * Shrimpton (Eurocrypt 2006) from primitives of libsodium: keyed BLAKE2b over kind, context
 * and padded text is both authenticator and nonce of XChaCha20.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "../../core/dprint.h"
#include "hide.h"

#define IV_LEN 16
#define PADDING 16
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

static unsigned char mac_key[crypto_generichash_KEYBYTES];
static unsigned char text_key[crypto_stream_xchacha20_KEYBYTES];

static int read_key(const char *path, unsigned char *key)
{
	char hex[64];
	size_t got;
	size_t len = 0;
	FILE *file = fopen(path, "r");

	if(file == NULL)
		return -1;
	got = fread(hex, 1, sizeof(hex), file);
	fclose(file);
	if(got != sizeof(hex))
		return -1;
	if(sodium_hex2bin(key, crypto_kdf_KEYBYTES, hex, sizeof(hex), NULL, &len, NULL) != 0)
		return -1;
	sodium_memzero(hex, sizeof(hex));
	return len == crypto_kdf_KEYBYTES ? 0 : -1;
}

int seal_init(const char *path)
{
	unsigned char key[crypto_kdf_KEYBYTES];

	if(sodium_init() < 0 || read_key(path, key) < 0) {
		LM_ERR("%s does not hold 64 hex digits\n", path);
		return -1;
	}
	crypto_kdf_derive_from_key(mac_key, sizeof(mac_key), 1, "naashide", key);
	crypto_kdf_derive_from_key(text_key, sizeof(text_key), 2, "naashide", key);
	sodium_memzero(key, sizeof(key));
	return 0;
}

static void make_iv(enum seal_kind kind, str context, const unsigned char *text, size_t len, unsigned char *iv)
{
	crypto_generichash_state state;
	unsigned char head[3] = {(unsigned char)kind, (unsigned char)(context.len >> 8), (unsigned char)context.len};

	crypto_generichash_init(&state, mac_key, sizeof(mac_key), IV_LEN);
	crypto_generichash_update(&state, head, sizeof(head));
	crypto_generichash_update(&state, (const unsigned char *)context.s, context.len);
	crypto_generichash_update(&state, text, len);
	crypto_generichash_final(&state, iv, IV_LEN);
}

static void apply_stream(unsigned char *text, size_t len, const unsigned char *iv)
{
	unsigned char nonce[crypto_stream_xchacha20_NONCEBYTES] = {0};

	memcpy(nonce, iv, IV_LEN);
	crypto_stream_xchacha20_xor(text, text, len, nonce, text_key);
}

int seal(enum seal_kind kind, str context, str plain, char *sealed)
{
	unsigned char raw[IV_LEN + PLAIN_MAX + PADDING];
	size_t len;

	if(plain.len < 0 || plain.len >= PLAIN_MAX || context.len > 0xffff)
		return -1;
	memcpy(raw + IV_LEN, plain.s, plain.len);
	if(sodium_pad(&len, raw + IV_LEN, plain.len, PADDING, PLAIN_MAX + PADDING) != 0)
		return -1;
	make_iv(kind, context, raw + IV_LEN, len, raw);
	apply_stream(raw + IV_LEN, len, raw);
	sodium_bin2base64(sealed, SEALED_MAX, raw, IV_LEN + len, BASE64);
	return (int)sodium_base64_ENCODED_LEN(IV_LEN + len, BASE64) - 1;
}

int unseal(enum seal_kind kind, str context, str sealed, char *plain)
{
	unsigned char raw[IV_LEN + PLAIN_MAX + PADDING];
	unsigned char iv[IV_LEN];
	size_t len = 0;
	size_t text;

	if(sealed.len <= 0 || context.len < 0 || context.len > 0xffff)
		return -1;
	if(sodium_base642bin(raw, sizeof(raw), sealed.s, sealed.len, NULL, &len, NULL, BASE64) != 0)
		return -1;
	if(len < IV_LEN + PADDING || (len - IV_LEN) % PADDING != 0)
		return -1;
	text = len - IV_LEN;
	apply_stream(raw + IV_LEN, text, raw);
	make_iv(kind, context, raw + IV_LEN, text, iv);
	if(sodium_memcmp(iv, raw, IV_LEN) != 0 || sodium_unpad(&len, raw + IV_LEN, text, PADDING) != 0)
		return -1;
	if(len > PLAIN_MAX)
		return -1;
	memcpy(plain, raw + IV_LEN, len);
	return (int)len;
}

unsigned long long seal_number(str value)
{
	unsigned long long number;
	unsigned char hash[crypto_generichash_BYTES_MIN];

	crypto_generichash(hash, sizeof(hash), (const unsigned char *)value.s, value.len, mac_key, sizeof(mac_key));
	memcpy(&number, hash, sizeof(number));
	return number >> 2;
}
