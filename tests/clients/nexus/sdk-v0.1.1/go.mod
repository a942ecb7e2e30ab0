// The last release of Nexus's SDK that names operations by an id in the path, and knows no tokens.
module opgate/tests/clients/nexus/sdk-v0.1.1

go 1.22

require github.com/nexus-rpc/sdk-go v0.1.1

require github.com/google/uuid v1.3.0
