package api

// JSONSchema is jsonSchema for tests.
var JSONSchema = jsonSchema
