// Package docs is the reference page: Swagger UI showing /openapi.yaml, with all it
// needs in the binary, so that it works offline and talks to nobody else. The viewer
// is swagger-ui-dist from npm as it was published; `make reference` takes a new one.
package docs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/activemessage/activemessage/internal/wire"
)

//go:embed assets
var assets embed.FS

// policy allows what is served here and nothing from elsewhere, no inline script and
// no inline style. The viewer's own icons are data URLs.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// file is one of the page's files.
type file struct {
	contentType, etag string
	content           []byte
	gzipped           bool // as the large ones are
}

// Handler serves the page at /docs and its files below. It takes the file's name from
// the end of the path, so it may be mounted under any prefix, beside openapi.yaml.
func Handler() (http.Handler, error) {
	files, err := load()
	if err != nil {
		return nil, fmt.Errorf("reference page: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		if name == "docs" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			wire.NewProblem("not_found", "the reference page has no such file: see /docs").Write(w)
			return
		}
		f.serve(w, r)
	}), nil
}

func load() (map[string]*file, error) {
	entries, err := assets.ReadDir("assets")
	if err != nil {
		return nil, err
	}
	files := make(map[string]*file, len(entries))
	for _, entry := range entries {
		content, err := assets.ReadFile("assets/" + entry.Name())
		if err != nil {
			return nil, err
		}
		name, compressed := strings.CutSuffix(entry.Name(), ".gz")
		sum := sha256.Sum256(content)
		files[name] = &file{mediaType(name), `W/"` + hex.EncodeToString(sum[:8]) + `"`, content, compressed}
	}
	return files, nil
}

// decompress is for the few clients that take no gzip. What is embedded is whole.
func decompress(gzipped []byte) []byte {
	reader, err := gzip.NewReader(bytes.NewReader(gzipped))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(reader)
	return plain
}

// mediaType does not ask the machine's tables, which differ.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // to be asked for by its ETag
	h.Add("Vary", "Accept-Encoding")
	h.Set("Etag", f.etag)
	if held := r.Header.Get("If-None-Match"); held == "*" || strings.Contains(held, f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	content := f.content
	switch accepted := strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"); {
	case f.gzipped && accepted:
		h.Set("Content-Encoding", "gzip")
	case f.gzipped:
		content = decompress(content)
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	wire.WriteBody(w, content)
}
