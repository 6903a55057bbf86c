package handlers

import (
	"context"

	"github.com/activemessage/activemessage/engine"
)

// Echo returns the message's data and content type: the smallest handler.
func Echo(_ context.Context, m *engine.Message) (engine.Result, error) {
	return engine.Result{Data: m.MessageData, ContentType: m.ContentType}, nil
}
