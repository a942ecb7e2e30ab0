//! The messages of `opgate.v1`, and clients for its services, generated from the `.proto` files:
//! [`operations_client::OperationsClient`] and [`workers_client::WorkersClient`].

#![expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "generated, documented where the .proto files are"
)]

tonic::include_proto!("opgate.v1");
