//! The protobuf types that are known: our own, and those the configuration brings.

use opgate_core::{did_you_mean, letters_between};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, MessageDescriptor, MethodDescriptor,
};
use prost_types::FileDescriptorProto;

use crate::scan::{Fields, Raw};

const BASE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/base.bin"));
const SURFACES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/surfaces.bin"));

/// A file descriptor set with the types of a user's services.
#[derive(Clone, Debug)]
pub struct DescriptorSet {
    /// Where it came from, for messages about it.
    pub origin: String,
    /// A binary `google.protobuf.FileDescriptorSet` that includes its imports, as `protoc
    /// --include_imports --descriptor_set_out` or `buf build` writes it.
    pub bytes: Vec<u8>,
}

/// Every known type.
#[derive(Clone, Debug)]
pub struct Types {
    pool: DescriptorPool,
    /// Packages that are built in, of whose services not all methods are.
    partial: Vec<String>,
}

/// What `google.longrunning.operation_info` says of a method, as written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OperationTypes {
    pub(crate) response: String,
    pub(crate) metadata: String,
}

impl Types {
    /// The types that are built in, and those of these sets. What is wrong with a set is told by
    /// [`Longrunning::check`](crate::Longrunning::check).
    pub fn of(sets: &[DescriptorSet]) -> Self {
        Self::new(sets).0
    }

    /// The base types, then the given sets, then the built-in calls of others' services, unless a
    /// set has brought their package.
    ///
    /// A file the base has already is taken from there: the names and numbers of
    /// `google/longrunning`, `google/rpc` and `google/api` are the same everywhere, and every set
    /// brings its own copy of them. Each set that cannot be used is one problem.
    pub(crate) fn new(sets: &[DescriptorSet]) -> (Self, Vec<String>) {
        let mut types = Self { pool: DescriptorPool::new(), partial: Vec::new() };
        let mut problems = Vec::new();
        let base = DescriptorSet { origin: "built in".to_owned(), bytes: BASE.to_vec() };
        for set in std::iter::once(&base).chain(sets) {
            if let Err(problem) = types.add(&set.bytes) {
                problems.push(format!("descriptor set {}: {problem}", set.origin));
            }
        }
        let brought: Vec<String> =
            types.pool.files().map(|file| file.package_name().to_owned()).collect();
        for (file, bytes) in files(SURFACES).filter_map(Result::ok) {
            if brought.iter().any(|package| package == file.package()) {
                continue;
            }
            if let Err(problem) = types.add(&framed(bytes)) {
                problems.push(format!("descriptor set {}: {problem}", file.name()));
            }
            types.partial.push(file.package().to_owned());
        }
        (types, problems)
    }

    fn add(&mut self, set: &[u8]) -> Result<(), String> {
        let known: Vec<String> = self.pool.files().map(|file| file.name().to_owned()).collect();
        let mut fresh = Vec::new();
        for file in files(set) {
            let (file, bytes) = file?;
            if !known.iter().any(|known| known == file.name()) {
                fresh.extend_from_slice(&framed(bytes));
            }
        }
        self.pool.decode_file_descriptor_set(&*fresh).map_err(|error| error.to_string())
    }

    /// The message of this full name.
    pub(crate) fn message(&self, full_name: &str) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(full_name)
    }

    /// The method of this service.
    pub(crate) fn method(&self, service: &str, method: &str) -> Option<MethodDescriptor> {
        self.pool.get_service_by_name(service)?.methods().find(|known| known.name() == method)
    }

    /// What a message that is not known is refused with.
    pub(crate) fn no_message(&self, name: &str) -> String {
        let known: Vec<_> = self.pool.all_messages().collect();
        let meant = did_you_mean(name, known.iter().map(MessageDescriptor::full_name));
        format!("there is no descriptor of `{name}`{meant}")
    }

    /// What a method is refused with that a service does not have whose methods are known; none where
    /// the service is not known. Of a service that is built in not all are: there only a slip is
    /// refused, one or two letters away from a method that is.
    pub(crate) fn no_method(&self, service: &str, method: &str) -> Option<String> {
        let service = self.pool.get_service_by_name(service)?;
        let known: Vec<_> = service.methods().collect();
        let names = || known.iter().map(MethodDescriptor::name);
        let partial = self.partial.iter().any(|package| package == service.package_name());
        if names().any(|known| known == method)
            || (partial && !names().any(|known| (1..=2).contains(&letters_between(method, known))))
        {
            return None;
        }
        let has = names().collect::<Vec<_>>().join(", ");
        let meant = did_you_mean(method, names());
        Some(format!("{} has no method `{method}`: it has {has}{meant}", service.full_name()))
    }

    /// Whether there is a service of this full name.
    pub(crate) fn has_service(&self, service: &str) -> bool {
        self.pool.get_service_by_name(service).is_some()
    }

    /// Everything, for reflection.
    pub(crate) const fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The types a method declares for its operations.
    pub(crate) fn operation_types(&self, method: &MethodDescriptor) -> Option<OperationTypes> {
        let extension: ExtensionDescriptor =
            self.pool.get_extension_by_name("google.longrunning.operation_info")?;
        let options: DynamicMessage = method.options();
        let declared = options.get_extension(&extension);
        let declared = declared.as_message().filter(|_| options.has_extension(&extension))?;
        let text = |field: &str| {
            declared.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned))
        };
        Some(OperationTypes { response: text("response_type")?, metadata: text("metadata_type")? })
    }
}

/// The files of an encoded `FileDescriptorSet`, each with its own bytes: decoding into
/// `prost_types` loses custom options.
fn files(set: &[u8]) -> impl Iterator<Item = Result<(FileDescriptorProto, &[u8]), String>> {
    Fields::new(set).filter_map(|field| match field {
        Ok((1, Raw::Bytes(bytes))) => Some(
            FileDescriptorProto::decode(bytes)
                .map(|file| (file, bytes))
                .map_err(|error| format!("not a FileDescriptorSet: {error}")),
        ),
        Ok(_) => None,
        Err(error) => Some(Err(format!("not a FileDescriptorSet: {}", error.0))),
    })
}

/// One file as an encoded `FileDescriptorSet`; such sets can be joined end to end.
fn framed(file: &[u8]) -> Vec<u8> {
    let mut set = Vec::with_capacity(file.len() + 6);
    prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut set);
    prost::encoding::encode_varint(file.len() as u64, &mut set);
    set.extend_from_slice(file);
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::types;

    fn set(origin: &str, proto: &str, path: &str) -> DescriptorSet {
        // The compiler of the build script is not at hand here: a set is put together by hand.
        let file = FileDescriptorProto {
            name: Some(path.to_owned()),
            package: Some(proto.to_owned()),
            syntax: Some("proto3".to_owned()),
            message_type: vec![prost_types::DescriptorProto {
                name: Some("Thing".to_owned()),
                ..Default::default()
            }],
            ..Default::default()
        };
        DescriptorSet { origin: origin.to_owned(), bytes: framed(&file.encode_to_vec()) }
    }

    #[test]
    fn the_declared_operation_types_are_read() {
        let method = types()
            .method(
                "google.identity.accesscontextmanager.v1.AccessContextManager",
                "CreateAccessPolicy",
            )
            .unwrap();
        let declared = types().operation_types(&method).unwrap();
        assert_eq!(declared.response, "AccessPolicy");
        assert_eq!(declared.metadata, "AccessContextManagerOperationMetadata");
        let get = types().method("google.longrunning.Operations", "GetOperation").unwrap();
        assert_eq!(types().operation_types(&get), None);
    }

    #[test]
    fn a_users_set_is_added_and_a_broken_one_is_a_problem() {
        let good = set("good.bin", "acme.v1", "acme/v1/thing.proto");
        let broken = DescriptorSet { origin: "broken.bin".to_owned(), bytes: vec![0xff] };
        let clash = set("clash.bin", "acme.v1", "acme/v1/other.proto");
        let (types, problems) = Types::new(&[good, broken, clash]);
        assert!(types.message("acme.v1.Thing").is_some());
        assert!(types.message("google.cloud.workflows.v1.Workflow").is_some());
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("descriptor set broken.bin: "), "{problems:?}");
        assert!(problems[1].starts_with("descriptor set clash.bin: "), "{problems:?}");
    }

    #[test]
    fn a_set_may_bring_what_is_built_in() {
        // A set for one of Google's packages comes with its own copy of the common files.
        let package = "google.identity.accesscontextmanager.v1";
        let mut own = set("own.bin", "google.rpc", "google/rpc/status.proto");
        own.bytes.extend_from_slice(&set("", package, "acm/all.proto").bytes);
        let (types, problems) = Types::new(&[own]);
        assert_eq!(problems, Vec::<String>::new());
        assert!(types.message(&format!("{package}.Thing")).is_some());
        assert!(types.message(&format!("{package}.AccessPolicy")).is_none());
        assert_eq!(types.message("google.rpc.Status").unwrap().fields().len(), 3);
        assert!(types.message("google.cloud.workflows.v1.Workflow").is_some());
    }

    #[test]
    fn reflection_keeps_options() {
        // The tag of `google.api.http` as it stands in the encoded options: 72295728, bytes.
        let tag: &[u8] = &[0x82, 0xd3, 0xe4, 0x93, 0x02];
        let mut files = types().pool().files().map(|file| file.encode_to_vec());
        assert!(files.any(|file| file.windows(tag.len()).any(|window| window == tag)));
    }
}
