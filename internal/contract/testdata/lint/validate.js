// Prints what the official AsyncAPI parser has against a document, and fails if that is anything.
import { readFile } from 'node:fs/promises'
import { Parser } from '@asyncapi/parser'

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], 'utf8'))
for (const { code, path, message } of diagnostics) console.log(`${code} at ${path.join('/')}: ${message}`)
process.exitCode = document && diagnostics.length === 0 ? 0 : 1
