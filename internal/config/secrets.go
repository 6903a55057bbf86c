package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// maxSecretBytes bounds a file that has a secret.
const maxSecretBytes = 64 << 10

// Secrets returns the secrets of a handler's webhook, the newest first, from the
// environment that lookup is, such as os.LookupEnv, and from files, without the white
// space around them. The error is Errors, which do not tell what a secret is.
func (f *File) Secrets(h *Handler, lookup func(string) (string, bool)) ([]string, error) {
	var secrets []string
	var faults Errors
	take := func(secret, reason, key string, i, of int) {
		if secret = strings.TrimSpace(secret); reason == "" && secret == "" {
			reason = "what it names is empty"
		}
		if reason != "" {
			keys := []string{"handlers", h.MessageType, "webhook", key}
			if of > 1 {
				keys = append(keys, strconv.Itoa(i))
			}
			faults = append(faults, f.Fault(reason, keys...))
		}
		secrets = append(secrets, secret)
	}
	for i, name := range h.Webhook.SecretEnv {
		secret, set := lookup(name)
		reason := ""
		if !set {
			reason = "the environment variable that it names is not set"
		}
		take(secret, reason, "secret_env", i, len(h.Webhook.SecretEnv))
	}
	for i, name := range h.Webhook.SecretFile {
		secret, reason := readSecret(name)
		take(secret, reason, "secret_file", i, len(h.Webhook.SecretFile))
	}
	if err := faults.asError(); err != nil {
		return nil, err
	}
	return secrets, nil
}

// readSecret returns what a file has, or why it cannot. Only a regular file can be read
// again and again without waiting: a pipe has no end, or is empty the second time. The
// reason does not tell the name, which may be a secret that was put where a name belongs.
func readSecret(name string) (secret, reason string) {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return "", "is not a regular file: name one, or a link to one"
	}
	var file *os.File
	if err == nil {
		file, err = os.Open(name)
	}
	if err == nil {
		defer func() { _ = file.Close() }()
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(file, maxSecretBytes+1)); err == nil {
			if len(data) > maxSecretBytes {
				return "", fmt.Sprintf("the file has more than %d bytes: that is no secret", maxSecretBytes)
			}
			return string(data), ""
		}
	}
	if failed, is := errors.AsType[*fs.PathError](err); is {
		err = failed.Err
	}
	return "", fmt.Sprintf("the file cannot be read: %v", err)
}

// Environ returns the environment that a handler's command is given beside its own:
// NAME=value each, that of the server where the file has a NAME alone. The error is
// Errors.
func (f *File) Environ(h *Handler, lookup func(string) (string, bool)) ([]string, error) {
	var environ []string
	var faults Errors
	for i, variable := range h.Exec.Env {
		if !strings.Contains(variable, "=") {
			value, set := lookup(variable)
			if !set {
				faults = append(faults, f.Fault("the environment variable "+variable+" is not set", "handlers", h.MessageType, "env", strconv.Itoa(i)))
			}
			variable += "=" + value
		}
		environ = append(environ, variable)
	}
	return environ, faults.asError()
}
