package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/activemessage/activemessage/engine"
)

// The sizes of a secret in bytes, by Standard Webhooks 1.0, "Signature scheme".
const (
	minSecret = 24
	maxSecret = 64
)

// key signs requests: one of the two is set.
type key struct {
	shared  []byte             // v1
	private ed25519.PrivateKey // v1a
}

// parseSecrets tells which secret is wrong, by its place, and nothing of what it holds.
func parseSecrets(secrets []string) ([]key, error) {
	if len(secrets) == 0 {
		return nil, &engine.InvalidError{Field: "secrets", Reason: "there is none: a webhook is signed, so that its receiver knows who calls"}
	}
	keys := make([]key, len(secrets))
	for i, secret := range secrets {
		var err error
		if keys[i], err = parseSecret(secret); err != nil {
			return nil, &engine.InvalidError{Field: fmt.Sprintf("secrets/%d", i), Reason: err.Error()}
		}
	}
	return keys, nil
}

// parseSecret reads a secret as the standard writes it. Its errors hold nothing of it.
func parseSecret(secret string) (key, error) {
	secret = strings.TrimSpace(secret)
	if secret == "" {
		return key{}, errors.New("is empty")
	}
	if encoded, is := strings.CutPrefix(secret, "whsec_"); is {
		shared, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil {
			return key{}, errors.New("what follows whsec_ is not base64 (the standard alphabet, with padding)")
		}
		if len(shared) < minSecret || len(shared) > maxSecret {
			return key{}, fmt.Errorf("has %d bytes after whsec_, must have from %d to %d", len(shared), minSecret, maxSecret)
		}
		return key{shared: shared}, nil
	}
	if encoded, is := strings.CutPrefix(secret, "whsk_"); is {
		return parsePrivate(encoded)
	}
	if strings.HasPrefix(secret, "whpk_") {
		return key{}, errors.New("is a public key (whpk_), which signs nothing: use its private key (whsk_)")
	}
	return key{}, errors.New("must begin with whsec_ (HMAC-SHA256) or whsk_ (ed25519)")
}

// parsePrivate reads an ed25519 key: its seed, or with its public key after it, as
// libsodium writes one.
func parsePrivate(encoded string) (key, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	switch {
	case err != nil:
		return key{}, errors.New("what follows whsk_ is not base64 (the standard alphabet, with padding)")
	case len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize:
		return key{}, fmt.Errorf("has %d bytes after whsk_, must have %d or %d", len(raw), ed25519.SeedSize, ed25519.PrivateKeySize)
	}
	private := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if len(raw) == ed25519.PrivateKeySize && !private.Equal(ed25519.PrivateKey(raw)) {
		return key{}, errors.New("the two halves after whsk_ are not of one key")
	}
	return key{private: private}, nil
}

// signature is the value of Webhook-Signature: one of each key, the keys' order.
func signature(keys []key, id, timestamp string, payload []byte) string {
	head := id + "." + timestamp + "."
	var all []byte
	for i, k := range keys {
		if i > 0 {
			all = append(all, ' ')
		}
		if k.private != nil {
			all = base64.StdEncoding.AppendEncode(append(all, "v1a,"...), ed25519.Sign(k.private, append([]byte(head), payload...)))
			continue
		}
		mac := hmac.New(sha256.New, k.shared)
		mac.Write([]byte(head))
		mac.Write(payload)
		all = base64.StdEncoding.AppendEncode(append(all, "v1,"...), mac.Sum(nil))
	}
	return string(all)
}
