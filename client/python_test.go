package client_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/activemessage/activemessage/internal/toolchain"
)

// generatorSHA256 is that of openapi-generator-cli-7.25.0.jar at Maven Central. The
// package at PyPI has the same file.
const generatorSHA256 = "41ce4f6b07f196676439d710759fa1ced7a08066d06ff1bf314681470289efae"

// TestPython makes a client of openapi.yaml with OpenAPI Generator, and runs a
// program with it.
func TestPython(t *testing.T) {
	t.Parallel()
	toolchain.Need(t, "java", "python3")
	const folder = "testdata/python"
	// The packages are for this Python only, and the environment refers to it.
	version := toolchain.Command{Line: []string{"python3", "-c", "import sys; print(sys.version, sys.base_prefix)"}}.Run(t)
	requirements := string(read(t, folder, "requirements.txt"))
	environment := toolchain.Cached(t, "python-packages", []string{version, requirements}, func(directory string) error {
		if _, err := (toolchain.Command{Line: []string{"python3", "-m", "venv", directory}}).Output(t); err != nil {
			return err
		}
		python := filepath.Join(directory, "bin", "python")
		_, err := toolchain.Command{Line: []string{python, "-m", "pip", "install", "--quiet", "--retries=1", "--no-deps", "--requirement", filepath.Join(folder, "requirements.txt")}}.Output(t)
		return err
	})
	work := t.TempDir()
	toolchain.Command{Line: []string{
		"java", "-jar", generator(t, environment), "generate",
		"--generator-name", "python", "--input-spec", "../openapi.yaml", "--output", work,
		"--global-property", "apiDocs=false,modelDocs=false,apiTests=false,modelTests=false",
		"--additional-properties", "packageName=activemessage_client",
	}}.Run(t)
	toolchain.Command{
		Environment: []string{"ACTIVEMESSAGE_URL=" + serve(t), "PYTHONPATH=" + work},
		Line:        []string{filepath.Join(environment, "bin", "python"), filepath.Join(folder, "main.py")},
	}.Run(t)
}

// generator returns the generator's jar, after a look at what it is.
func generator(t *testing.T, environment string) string {
	t.Helper()
	pattern := filepath.Join(environment, "lib", "python3*", "site-packages", "openapi_generator_cli", "openapi-generator.jar")
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	jar, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = jar.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, jar); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != generatorSHA256 {
		t.Fatalf("%s has SHA-256 %s, want %s", found[0], got, generatorSHA256)
	}
	return found[0]
}
