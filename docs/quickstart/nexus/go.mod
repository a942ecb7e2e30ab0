// The last tagged release of Nexus's SDK that speaks HTTP.
module opgate/docs/quickstart/nexus

go 1.22

require github.com/nexus-rpc/sdk-go v0.4.0

require github.com/google/uuid v1.3.0
