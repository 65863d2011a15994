"""Docker's Engine API over an `EngineApi`: every client of Docker works on this runtime.

    server       listens, and gives each connection a thread
    http/        one connection: requests, bodies, responses, upgraded streams
    routes       which handler answers which path
    handlers/    a function for each operation: a request in, a call of the engine, a response out
    decode/      the documents of clients as the engine's specs
    documents/   the engine's values as documents of clients
    attachments, executions, waits
                 what one server remembers between requests: attached clients of containers that
                 have not started, execs, clients that wait

The engine blocks, and its streams are iterators; so each connection has a thread, and h11 (which
does no input and output of its own) parses and writes HTTP. An asyncio server would need a thread
for each call as well, and two more hops for each piece of a stream. h11 was chosen over
`http.server` because it refuses what makes requests ambiguous: two lengths, bare line feeds,
folded headers.
"""
