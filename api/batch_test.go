package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/api"
)

// Each message of a batch is answered in its place, whether it was refused before the
// engine saw it or by the engine, and those accepted keep their order.
func TestABatchIsAnsweredInItsPlaces(t *testing.T) {
	t.Parallel()
	server := start(t, api.Config{})
	const batch = `{"message_type":"echo","idempotency_key":"a"}
		{"message_type":"echo","priority":"high"}
		{"message_type":"count"}
		{"message_type":"nobody"}
		{"message_type":"echo","priority":12}
		{"message_type":"echo","idempotency_key":"a"}
		7
		{"message_type":"sleep","message_data":{"duration":"1ms"}}`
	response, err := server.Client().Post(server.URL+"/v1/messages/batch", "application/x-ndjson", strings.NewReader(batch))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Accepted, Refused int
		Items             []struct {
			Status  int
			Receipt struct {
				ID, Durability string
				MessageType    string `json:"message_type"`
				Replayed       bool
			}
			Problem struct{ Code string }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	var got, ids []string
	for _, item := range answer.Items {
		if item.Status != http.StatusAccepted {
			got = append(got, item.Problem.Code)
			continue
		}
		got = append(got, item.Receipt.MessageType)
		ids = append(ids, item.Receipt.ID)
		if item.Receipt.Durability != "memory" {
			t.Errorf("%+v", item.Receipt)
		}
	}
	want := []string{"echo", "invalid_message", "count", "unknown_message_type", "invalid_message", "echo", "malformed_json", "sleep"}
	if response.StatusCode != http.StatusMultiStatus || answer.Accepted != 4 || answer.Refused != 4 || !slices.Equal(got, want) {
		t.Fatalf("%d: %+v, want %q", response.StatusCode, answer, want)
	}
	if ids[0] >= ids[1] || ids[1] >= ids[3] {
		t.Errorf("the ids %q are not in the order of the batch", ids)
	}
	if second := answer.Items[5].Receipt; !second.Replayed || second.ID != ids[0] {
		t.Errorf("the key's second message is answered with %+v", second)
	}
}
