//! Types for the tests here: every kind of field, and the types whose JSON is their own.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

const KINDS: &str = r#"
syntax = "proto3";
package test;

import "google/api/annotations.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/rpc/error_details.proto";
import "google/rpc/status.proto";

service Things {
  rpc CreateThing(CreateThingRequest) returns (Kinds) {
    option (google.api.http) = {
      post: "/v1/{parent=projects/*}/things"
      body: "thing"
      additional_bindings { post: "/v1/things" body: "*" }
      additional_bindings { get: "/v1/{thing.display_name}/{parent=**}:make" response_body: "inner" }
    };
  }
  rpc Plain(CreateThingRequest) returns (Kinds);
  rpc Wrong(CreateThingRequest) returns (Kinds) {
    option (google.api.http) = { get: "/v1/{thing}" };
  }
}

message CreateThingRequest {
  string parent = 1;
  Kinds thing = 2;
  string thing_id = 3;
  bool validate_only = 4;
}

enum Color {
  COLOR_UNSPECIFIED = 0;
  RED = 1;
  BLUE = 2;
}

message Kinds {
  bool flag = 1;
  int32 small = 2;
  int64 large = 3;
  uint32 small_count = 4;
  uint64 large_count = 5;
  float single = 6;
  double twice = 7;
  string display_name = 8;
  bytes data = 9;
  Color color = 10;
  Kinds inner = 11;
  repeated string names = 12;
  repeated Color colors = 13;
  repeated Kinds inners = 14;
  map<string, string> labels = 15;
  map<int32, Kinds> by_number = 16;
  oneof choice {
    string one = 17;
    int32 other = 18;
  }
  optional int32 maybe = 19;
  google.protobuf.Timestamp time = 20;
  google.protobuf.Duration span = 21;
  google.protobuf.FieldMask mask = 22;
  google.protobuf.Struct object = 23;
  google.protobuf.Value value = 24;
  google.protobuf.ListValue list = 25;
  google.protobuf.Any any = 26;
  repeated google.protobuf.Any anys = 27;
  google.protobuf.Int64Value wrapped = 28;
  google.protobuf.StringValue text = 29;
  google.protobuf.Empty empty = 30;
  google.protobuf.BoolValue wrapped_flag = 31;
  sint32 zigzag = 32;
  fixed64 fixed = 33;
  repeated int64 numbers = 34;
  map<bool, Color> by_flag = 35;
}
"#;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
    #[derive(Debug)]
    struct Kinds;
    impl FileResolver for Kinds {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            if name == "kinds.proto" {
                File::from_source(name, KINDS)
            } else {
                Err(protox::Error::file_not_found(name))
            }
        }
    }
    let mut files = ChainFileResolver::new();
    files.add(Kinds);
    files.add(protox::file::IncludeFileResolver::new(
        concat!(env!("CARGO_MANIFEST_DIR"), "/proto").into(),
    ));
    files.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file("kinds.proto").unwrap();
    DescriptorPool::decode(&*compiler.encode_file_descriptor_set()).unwrap()
});

pub(super) fn pool() -> &'static DescriptorPool {
    &POOL
}

pub(super) fn message(full_name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(full_name).unwrap()
}

pub(super) fn kinds() -> MessageDescriptor {
    message("test.Kinds")
}
