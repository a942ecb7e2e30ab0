// A client of Nexus, and a handler, of the last tagged release of its SDK that speaks HTTP.
module opgate/tests/clients/matrix/nexus

go 1.22

require github.com/nexus-rpc/sdk-go v0.4.0

require github.com/google/uuid v1.3.0
