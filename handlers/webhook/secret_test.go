package webhook

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/activemessage/activemessage/engine"
)

// The vectors of Standard Webhooks' own libraries (libraries/go/webhook_test.go and
// webhook_asymmetric_test.go of its repository), and what they sign.
const (
	vectorID      = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime    = "1614265330"
	vectorPayload = `{"test": 2432232314}`
	privateSecret = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
	vectorV1      = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	vectorV1a     = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
)

func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		secrets []string
		want    string
	}{
		{[]string{secret}, vectorV1},
		{[]string{privateSecret}, vectorV1a},
		{[]string{secret, privateSecret}, vectorV1 + " " + vectorV1a},
		{[]string{privateSecret, " " + secret + "\n"}, vectorV1a + " " + vectorV1},
	} {
		keys, err := parseSecrets(c.secrets)
		if err != nil {
			t.Fatal(err)
		}
		if got := signature(keys, vectorID, vectorTime, []byte(vectorPayload)); got != c.want {
			t.Errorf("%d secrets: %s, want %s", len(c.secrets), got, c.want)
		}
	}
}

// TestRequestVerifies has the standard's own library judge requests as they arrive.
func TestRequestVerifies(t *testing.T) {
	t.Parallel()
	older := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("older"), 8))
	oracle := func(secret string) *standardwebhooks.Webhook {
		w, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for _, data := range []string{"", vectorPayload, "\x00\xff", strings.Repeat("x", 1<<20)} {
		url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			body := readAll(t, r.Body)
			if string(body) != data {
				t.Errorf("%d bytes arrived of %d", len(body), len(data))
			}
			for _, s := range []string{secret, older} {
				if err := oracle(s).Verify(body, r.Header); err != nil {
					t.Error(err)
				}
			}
			if err := oracle("whsec_"+strings.Repeat("AAAA", 8)).Verify(body, r.Header); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
				t.Error("another secret verifies it:", err)
			}
			if err := oracle(secret).Verify(append(body, '!'), r.Header); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
				t.Error("another body verifies:", err)
			}
		})
		h := start(t, Config{URL: url, Secrets: []string{secret, privateSecret, older}})
		if _, err := h.Handle(t.Context(), message(data)); err != nil {
			t.Error(err)
		}
	}
}

func TestSecretsAreRefusedWithoutBeingShown(t *testing.T) {
	t.Parallel()
	encode := base64.StdEncoding.EncodeToString
	otherHalf := append(bytes.Repeat([]byte("s"), ed25519.SeedSize), bytes.Repeat([]byte("p"), ed25519.PublicKeySize)...)
	for name, s := range map[string]string{
		"empty":           "",
		"space":           " \n",
		"no prefix":       "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"prefix only":     "whsec_",
		"not base64":      "whsec_!!notbase64atall!!",
		"URL alphabet":    "whsec_" + strings.Repeat("-_-_", 8),
		"no padding":      "whsec_" + strings.TrimRight(encode(bytes.Repeat([]byte("s"), 25)), "="),
		"bits left over":  "whsec_" + encode(bytes.Repeat([]byte("s"), 24)) + "c1==",
		"23 bytes":        "whsec_" + encode(bytes.Repeat([]byte("s"), 23)),
		"65 bytes":        "whsec_" + encode(bytes.Repeat([]byte("s"), 65)),
		"public key":      "whpk_" + encode(bytes.Repeat([]byte("s"), 32)),
		"31 bytes of key": "whsk_" + encode(bytes.Repeat([]byte("s"), 31)),
		"two half keys":   "whsk_" + encode(otherHalf),
		"key, not base64": "whsk_!!notbase64atall!!",
	} {
		_, err := New(Config{URL: "https://receiver.example", Secrets: []string{secret, s}})
		invalid, ok := errors.AsType[*engine.InvalidError](err)
		if !ok || invalid.Field != "secrets/1" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, hidden, _ := strings.Cut(strings.TrimSpace(s), "_"); hidden != "" && strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: the secret is in %q", name, err)
		}
	}
	if _, err := New(Config{URL: "https://receiver.example"}); !errors.Is(err, engine.ErrInvalid) {
		t.Error("no secret at all is accepted:", err)
	}
}

func TestPrivateKeyOfLibsodium(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := parseSecret("whsk_" + base64.StdEncoding.EncodeToString(private))
	if err != nil || !k.private.Equal(private) {
		t.Error(err)
	}
}

func FuzzSecret(f *testing.F) {
	for _, s := range []string{secret, privateSecret, "whpk_AAAA", "whsec_", " whsec_=\n", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := parseSecret(s)
		if err != nil {
			if _, hidden, _ := strings.Cut(strings.TrimSpace(s), "_"); len(hidden) > 16 && strings.Contains(err.Error(), hidden) {
				t.Errorf("the secret is in %q", err)
			}
			return
		}
		if signed := signature([]key{k}, vectorID, vectorTime, nil); strings.ContainsAny(signed, " \n") || !strings.HasPrefix(signed, "v1") {
			t.Errorf("%q", signed)
		}
		if k.private != nil {
			return
		}
		// The oracle takes all that we take, and signs the same.
		w, err := standardwebhooks.NewWebhook(strings.TrimSpace(s))
		if err != nil {
			t.Fatal(err)
		}
		want, err := w.Sign(vectorID, time.Unix(1614265330, 0), []byte(vectorPayload))
		if got := signature([]key{k}, vectorID, vectorTime, []byte(vectorPayload)); err != nil || got != want {
			t.Errorf("%s, want %s, %v", got, want, err)
		}
	})
}
