//! What a Dockerfile build reads: .dockerignore, stage graph, argument expansion, context paths.
