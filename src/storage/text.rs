//! Texts of rows, read where the row's bytes lie.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValue, PgValueRef};
use sqlx::{Decode, Postgres, Type, Value, ValueRef};

use crate::error::Error;
use crate::storage::from_sqlx;

/// A text column of a row. It keeps the row's bytes alive and copies none of them.
pub(super) struct Text(PgValue);

impl Text {
    pub(super) fn as_str(&self) -> Result<&str, Error> {
        self.0.try_decode_unchecked().map_err(from_sqlx)
    }
}

impl Type<Postgres> for Text {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(column: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(column)
    }
}

impl Decode<'_, Postgres> for Text {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(ValueRef::to_owned(&value)))
    }
}
