package main

import (
	"fmt"
	"net/http"
	"time"
)

// healthcheck asks a running server whether it is ready.
func healthcheck(listen string) error {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(localURL(listen, "/readyz"))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return nil
}
