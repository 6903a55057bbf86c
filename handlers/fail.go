package handlers

import (
	"context"
	"encoding/json"

	"github.com/activemessage/activemessage/engine"
)

// Fail takes {"message":"Invalid data format"} and fails with exactly that text:
// the example of an error whose words clients may read.
func Fail(_ context.Context, m *engine.Message) (engine.Result, error) {
	var request struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(m.MessageData, &request); err != nil {
		return engine.Result{}, invalid(`send {"message":"why it fails"}`, err)
	}
	return engine.Result{}, &engine.Error{Code: "example_failure", Message: request.Message}
}
