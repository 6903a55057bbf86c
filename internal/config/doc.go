// Package config reads the server's configuration file: YAML, whose keys, types and
// ranges config.schema.json says, at the root of the module. The schema is the one
// truth: files are held against it, and what it says of a fault is what the operator
// reads, with the file, the line, the column and the key.
//
// # What is refused
//
// Files of more than MaxBytes, more than one document, keys given twice, anchors,
// aliases, merge keys and tags: a file of settings needs none of them, and each is a
// way to mean something else than what is read. Secrets do not stand in the file; it
// names the environment variable or the file that has one.
//
// # Errors
//
// Parse returns all faults of a file at once, as Errors. Whoever builds a handler from
// what was parsed says with File.Fault where the file was wrong.
//
// # Concurrency
//
// What Parse returns is not changed any more, and may be read by many.
package config
