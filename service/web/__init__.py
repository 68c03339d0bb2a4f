"""The pages: server-rendered, working with scripts off and the network down. A view parses, calls, renders."""
