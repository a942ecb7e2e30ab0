//! The values labels may take: closed sets, so the number of series is known before the first request.

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// The value as it stands in the exposition.
    fn text(self) -> &'static str;
    /// Position in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// How many values there are.
            pub const COUNT: usize = <Self as Label>::ALL.len();
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// The language a request was made in.
    Protocol {
        /// gRPC on the `http` listener.
        Grpc => "grpc",
        /// REST on the `http` listener, whatever the dialect.
        Http => "http",
        /// AMQP 1.0.
        Amqp => "amqp",
        /// opgate's own API.
        Native => "native",
        /// Nexus over HTTP.
        Nexus => "nexus",
        /// OCI work requests, and the calls that start them.
        Oci => "oci",
    }
}

label! {
    /// What a request asked for, in opgate's words.
    Method {
        /// Start an operation.
        Start => "start",
        /// Read one operation.
        Get => "get",
        /// Read a page of operations.
        List => "list",
        /// Wait for an operation to end or change.
        Wait => "wait",
        /// Ask for cancellation.
        Cancel => "cancel",
        /// Forget a finished operation.
        Delete => "delete",
        /// Follow changes as a stream.
        Watch => "watch",
        /// End an operation by hand.
        Complete => "complete",
        /// Have callbacks delivered once more.
        Redrive => "redrive",
        /// Take operations from a queue.
        Lease => "lease",
        /// Tell how a leased operation goes.
        Report => "report",
        /// End a leased operation.
        Finish => "finish",
        /// Give a leased operation back.
        Release => "release",
        /// Health, reflection, and what matched no method.
        Other => "other",
    }
}

label! {
    /// How a request ended: the names of google.rpc.Code, in the order of their numbers.
    Code {
        /// 0.
        Ok => "OK",
        /// 1; also a request whose client went away.
        Cancelled => "CANCELLED",
        /// 2.
        Unknown => "UNKNOWN",
        /// 3.
        InvalidArgument => "INVALID_ARGUMENT",
        /// 4.
        DeadlineExceeded => "DEADLINE_EXCEEDED",
        /// 5.
        NotFound => "NOT_FOUND",
        /// 6.
        AlreadyExists => "ALREADY_EXISTS",
        /// 7.
        PermissionDenied => "PERMISSION_DENIED",
        /// 8.
        ResourceExhausted => "RESOURCE_EXHAUSTED",
        /// 9.
        FailedPrecondition => "FAILED_PRECONDITION",
        /// 10.
        Aborted => "ABORTED",
        /// 11.
        OutOfRange => "OUT_OF_RANGE",
        /// 12.
        Unimplemented => "UNIMPLEMENTED",
        /// 13.
        Internal => "INTERNAL",
        /// 14.
        Unavailable => "UNAVAILABLE",
        /// 15.
        DataLoss => "DATA_LOSS",
        /// 16.
        Unauthenticated => "UNAUTHENTICATED",
    }
}

impl Code {
    /// The code with this google.rpc number; a number outside the set is [`Code::Unknown`], as gRPC reads it.
    pub fn from_number(number: i32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|number| Self::ALL.get(number))
            .copied()
            .unwrap_or(Self::Unknown)
    }
}

label! {
    /// A listening socket of the daemon.
    Listener {
        /// gRPC, REST and Nexus.
        Http => "http",
        /// AMQP 1.0.
        Amqp => "amqp",
        /// Metrics and health.
        Admin => "admin",
    }
}

label! {
    /// Why the gateway ended a connection the peer wanted to keep.
    Cut {
        /// No first request line or preface in time.
        Silent => "silent",
        /// The peer stopped reading what it had asked for.
        Stalled => "stalled",
        /// Still open when the drain ran out of time.
        Drain => "drain",
    }
}

label! {
    /// Why TLS did not come about.
    HandshakeFault {
        /// The peer spoke without it, which the listener does not allow.
        Plaintext => "plaintext",
        /// The handshake was not finished in time.
        Timeout => "timeout",
        /// The peer went away.
        Gone => "gone",
        /// The client's certificate is missing, or not good.
        Certificate => "certificate",
        /// The client would not go on: our certificate is not good to it, mostly.
        Refused => "refused",
        /// No common version or cipher, or bytes that are no TLS.
        Protocol => "protocol",
    }
}

label! {
    /// How far a contained panic reached.
    Place {
        /// One request; its connection went on.
        Request => "request",
        /// One connection.
        Connection => "connection",
    }
}

label! {
    /// State of an operation.
    State {
        /// Durable, not started yet.
        Accepted => "accepted",
        /// Handed to a backend.
        Running => "running",
        /// Ended well.
        Succeeded => "succeeded",
        /// Ended with a failure.
        Failed => "failed",
        /// Ended by cancellation.
        Canceled => "canceled",
    }
}

label! {
    /// How an operation ended.
    Outcome {
        /// With a result.
        Succeeded => "succeeded",
        /// With a failure.
        Failed => "failed",
        /// By cancellation.
        Canceled => "canceled",
    }
}

label! {
    /// What of a caller's may take long, and has a bound for that.
    Permit {
        /// For an operation to end or change.
        Wait => "wait",
        /// Of the changes of one operation or many.
        Watch => "watch",
        /// Of a worker for an operation.
        Ask => "ask",
        /// A page of the web console, of what changes.
        Console => "console",
    }
}

label! {
    /// Why an operation is no longer kept.
    Removal {
        /// A client asked for it.
        Deleted => "deleted",
        /// Its retention was over.
        Expired => "expired",
    }
}

label! {
    /// What went wrong in the journal.
    JournalFault {
        /// The disk refused a read or a write.
        Io => "io",
        /// No space left.
        Full => "full",
        /// A record that does not check.
        Corrupt => "corrupt",
        /// Another program holds the database.
        Busy => "busy",
    }
}

label! {
    /// What became of an attempt to deliver a callback.
    CallbackResult {
        /// The receiver took it.
        Delivered => "delivered",
        /// Not now: it is tried again, or given up.
        Later => "later",
        /// Never.
        Refused => "refused",
    }
}

label! {
    /// Why the signature of a request was not believed.
    SignatureFault {
        /// There is none.
        Unsigned => "unsigned",
        /// The header that holds it cannot be read.
        Malformed => "malformed",
        /// Another version or algorithm.
        Unsupported => "unsupported",
        /// Something that has to be signed was not.
        Uncovered => "uncovered",
        /// A signed header is not there, or several times.
        Headers => "headers",
        /// For another host than those accepted, or for two.
        Host => "host",
        /// The signed date cannot be read, or is too far from now.
        Clock => "clock",
        /// The body is not the one that was signed.
        Body => "body",
        /// No such key, user or tenancy.
        Key => "key",
        /// Made by another key, or of another request.
        Signature => "signature",
        /// A session token that cannot be used.
        Token => "token",
        /// A session token of a tenancy that is not configured.
        Tenancy => "tenancy",
        /// A session token of an issuer that is not configured.
        Issuer => "issuer",
        /// A session token before or after its time.
        Expired => "expired",
        /// The key in a session token is too weak, or none.
        SessionKey => "session_key",
    }
}

label! {
    /// What of an AMQP peer's was refused.
    AmqpRefusal {
        /// Who it said it was, or what it spoke.
        SignIn => "sign_in",
        /// A token.
        Token => "token",
        /// A link.
        Link => "link",
        /// A message, which was rejected.
        Message => "message",
        /// Bytes: the fence ended the connection.
        Frame => "frame",
    }
}

label! {
    /// Why an AMQP reply did not reach whom it was for.
    AmqpLoss {
        /// There is no link for it.
        NoLink => "no_link",
        /// It is larger than its reader takes, who was told so instead.
        TooLarge => "too_large",
    }
}

label! {
    /// What became of settings that were read again.
    Reload {
        /// They hold now, as far as they can without a restart.
        Applied => "applied",
        /// Something is wrong with them; the old ones hold.
        Refused => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_their_numbers() {
        assert_eq!(Code::COUNT, 17);
        assert_eq!(Code::from_number(0), Code::Ok);
        assert_eq!(Code::from_number(5), Code::NotFound);
        assert_eq!(Code::from_number(14), Code::Unavailable);
        assert_eq!(Code::from_number(16), Code::Unauthenticated);
        assert_eq!(Code::from_number(17), Code::Unknown);
        assert_eq!(Code::from_number(-1), Code::Unknown);
    }

    #[test]
    fn an_index_is_the_position_in_all() {
        for (position, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.index(), position);
        }
        for (position, method) in Method::ALL.iter().enumerate() {
            assert_eq!(method.index(), position);
        }
    }
}
