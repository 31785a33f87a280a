//! Enumerations: their numbers on the wire and their values in the domain.

use crate::domain::chat_message::UserType;
use crate::domain::deletion::{DeletionReason, RequestedFrom};
use crate::domain::ticket::{ChannelType, TicketPriority, TicketStatus};
use crate::domain::violation::{FieldViolation, Rule};
use crate::grpc::proto;

/// An enumeration of the domain with its numbers on the wire.
pub(super) trait Enumeration: Sized {
    /// The names that a caller may send, for the error that refuses others.
    const NAMES: &'static str;
    /// The value of a number; `None` for a number that has no value.
    fn of(number: i32) -> Option<Self>;
    /// The number of the value.
    fn number(self) -> i32;
}

/// Takes an enumeration's number; 0 is none.
pub(super) fn enumeration<T: Enumeration>(field: &str, number: i32) -> Result<Option<T>, FieldViolation> {
    match number {
        0 => Ok(None),
        _ => T::of(number).map(Some).ok_or_else(|| FieldViolation::new(field, Rule::OneOf { allowed: T::NAMES })),
    }
}

impl Enumeration for TicketStatus {
    const NAMES: &'static str = "TICKET_STATUS_INITIALIZED, TICKET_STATUS_PROACTIVE, TICKET_STATUS_PENDING, TICKET_STATUS_ACTIVE, \
        TICKET_STATUS_CLOSED, TICKET_STATUS_WORK_IN_PROGRESS, TICKET_STATUS_IDLE";

    fn of(number: i32) -> Option<Self> {
        match proto::TicketStatus::try_from(number).ok()? {
            proto::TicketStatus::Unspecified => None,
            proto::TicketStatus::Initialized => Some(Self::Initialized),
            proto::TicketStatus::Proactive => Some(Self::Proactive),
            proto::TicketStatus::Pending => Some(Self::Pending),
            proto::TicketStatus::Active => Some(Self::Active),
            proto::TicketStatus::Closed => Some(Self::Closed),
            proto::TicketStatus::WorkInProgress => Some(Self::WorkInProgress),
            proto::TicketStatus::Idle => Some(Self::Idle),
        }
    }

    fn number(self) -> i32 {
        let value = match self {
            Self::Initialized => proto::TicketStatus::Initialized,
            Self::Proactive => proto::TicketStatus::Proactive,
            Self::Pending => proto::TicketStatus::Pending,
            Self::Active => proto::TicketStatus::Active,
            Self::Closed => proto::TicketStatus::Closed,
            Self::WorkInProgress => proto::TicketStatus::WorkInProgress,
            Self::Idle => proto::TicketStatus::Idle,
        };
        value as i32
    }
}

impl Enumeration for TicketPriority {
    const NAMES: &'static str = "TICKET_PRIORITY_URGENT, TICKET_PRIORITY_HIGH, TICKET_PRIORITY_MEDIUM, TICKET_PRIORITY_LOW";

    fn of(number: i32) -> Option<Self> {
        match proto::TicketPriority::try_from(number).ok()? {
            proto::TicketPriority::Unspecified => None,
            proto::TicketPriority::Urgent => Some(Self::Urgent),
            proto::TicketPriority::High => Some(Self::High),
            proto::TicketPriority::Medium => Some(Self::Medium),
            proto::TicketPriority::Low => Some(Self::Low),
        }
    }

    fn number(self) -> i32 {
        let value = match self {
            Self::Urgent => proto::TicketPriority::Urgent,
            Self::High => proto::TicketPriority::High,
            Self::Medium => proto::TicketPriority::Medium,
            Self::Low => proto::TicketPriority::Low,
        };
        value as i32
    }
}

impl Enumeration for ChannelType {
    const NAMES: &'static str = "CHANNEL_TYPE_SENDBIRD, CHANNEL_TYPE_SENDBIRD_IOS, CHANNEL_TYPE_SENDBIRD_ANDROID, \
        CHANNEL_TYPE_SENDBIRD_JAVASCRIPT, CHANNEL_TYPE_FACEBOOK_CONVERSATION, CHANNEL_TYPE_FACEBOOK_FEED, \
        CHANNEL_TYPE_TWITTER_STATUS, CHANNEL_TYPE_TWITTER_DIRECT_MESSAGE_EVENT, CHANNEL_TYPE_INSTAGRAM_COMMENT, \
        CHANNEL_TYPE_WHATSAPP_MESSAGE";

    fn of(number: i32) -> Option<Self> {
        match proto::ChannelType::try_from(number).ok()? {
            proto::ChannelType::Unspecified => None,
            proto::ChannelType::Sendbird => Some(Self::Sendbird),
            proto::ChannelType::SendbirdIos => Some(Self::SendbirdIos),
            proto::ChannelType::SendbirdAndroid => Some(Self::SendbirdAndroid),
            proto::ChannelType::SendbirdJavascript => Some(Self::SendbirdJavascript),
            proto::ChannelType::FacebookConversation => Some(Self::FacebookConversation),
            proto::ChannelType::FacebookFeed => Some(Self::FacebookFeed),
            proto::ChannelType::TwitterStatus => Some(Self::TwitterStatus),
            proto::ChannelType::TwitterDirectMessageEvent => Some(Self::TwitterDirectMessageEvent),
            proto::ChannelType::InstagramComment => Some(Self::InstagramComment),
            proto::ChannelType::WhatsappMessage => Some(Self::WhatsappMessage),
        }
    }

    fn number(self) -> i32 {
        let value = match self {
            Self::Sendbird => proto::ChannelType::Sendbird,
            Self::SendbirdIos => proto::ChannelType::SendbirdIos,
            Self::SendbirdAndroid => proto::ChannelType::SendbirdAndroid,
            Self::SendbirdJavascript => proto::ChannelType::SendbirdJavascript,
            Self::FacebookConversation => proto::ChannelType::FacebookConversation,
            Self::FacebookFeed => proto::ChannelType::FacebookFeed,
            Self::TwitterStatus => proto::ChannelType::TwitterStatus,
            Self::TwitterDirectMessageEvent => proto::ChannelType::TwitterDirectMessageEvent,
            Self::InstagramComment => proto::ChannelType::InstagramComment,
            Self::WhatsappMessage => proto::ChannelType::WhatsappMessage,
        };
        value as i32
    }
}

impl Enumeration for UserType {
    const NAMES: &'static str = "USER_TYPE_AGENT, USER_TYPE_CUSTOMER, USER_TYPE_EVENT";

    fn of(number: i32) -> Option<Self> {
        match proto::UserType::try_from(number).ok()? {
            proto::UserType::Unspecified => None,
            proto::UserType::Agent => Some(Self::Agent),
            proto::UserType::Customer => Some(Self::Customer),
            proto::UserType::Event => Some(Self::Event),
        }
    }

    fn number(self) -> i32 {
        let value = match self {
            Self::Agent => proto::UserType::Agent,
            Self::Customer => proto::UserType::Customer,
            Self::Event => proto::UserType::Event,
        };
        value as i32
    }
}

impl Enumeration for RequestedFrom {
    const NAMES: &'static str = "REQUESTED_FROM_DASHBOARD, REQUESTED_FROM_PLATFORM_API";

    fn of(number: i32) -> Option<Self> {
        match proto::RequestedFrom::try_from(number).ok()? {
            proto::RequestedFrom::Unspecified => None,
            proto::RequestedFrom::Dashboard => Some(Self::Dashboard),
            proto::RequestedFrom::PlatformApi => Some(Self::PlatformApi),
        }
    }

    fn number(self) -> i32 {
        let value = match self {
            Self::Dashboard => proto::RequestedFrom::Dashboard,
            Self::PlatformApi => proto::RequestedFrom::PlatformApi,
        };
        value as i32
    }
}

impl Enumeration for DeletionReason {
    const NAMES: &'static str = "DELETION_REASON_PRIVACY_REQUEST, DELETION_REASON_SENSITIVE_DATA, DELETION_REASON_ABUSE, DELETION_REASON_SPAM, \
        DELETION_REASON_SENT_BY_MISTAKE, DELETION_REASON_LEGAL_ORDER, DELETION_REASON_RETENTION_ENDED, \
        DELETION_REASON_OTHER";

    fn of(number: i32) -> Option<Self> {
        match proto::DeletionReason::try_from(number).ok()? {
            proto::DeletionReason::Unspecified => None,
            proto::DeletionReason::PrivacyRequest => Some(Self::PrivacyRequest),
            proto::DeletionReason::SensitiveData => Some(Self::SensitiveData),
            proto::DeletionReason::Abuse => Some(Self::Abuse),
            proto::DeletionReason::Spam => Some(Self::Spam),
            proto::DeletionReason::SentByMistake => Some(Self::SentByMistake),
            proto::DeletionReason::LegalOrder => Some(Self::LegalOrder),
            proto::DeletionReason::RetentionEnded => Some(Self::RetentionEnded),
            proto::DeletionReason::Other => Some(Self::Other),
        }
    }

    fn number(self) -> i32 {
        let value = match self {
            Self::PrivacyRequest => proto::DeletionReason::PrivacyRequest,
            Self::SensitiveData => proto::DeletionReason::SensitiveData,
            Self::Abuse => proto::DeletionReason::Abuse,
            Self::Spam => proto::DeletionReason::Spam,
            Self::SentByMistake => proto::DeletionReason::SentByMistake,
            Self::LegalOrder => proto::DeletionReason::LegalOrder,
            Self::RetentionEnded => proto::DeletionReason::RetentionEnded,
            Self::Other => proto::DeletionReason::Other,
        };
        value as i32
    }
}
