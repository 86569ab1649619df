//! How the values of records are kept in columns, and read back. What cannot be read back is damage, not a guess.

use std::{
    fmt::{Debug, Display},
    str::FromStr,
};

use coyote_protocol::{Identifier, RevocationReason, Timestamp};
use coyote_storage::{
    AccountId, AuthorizationId, CertificateId, ChallengeId, JobId, LeaseToken, OrderId, RequestId,
};
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{BigInt, Binary, Integer, Text},
    sqlite::{Sqlite, SqliteValue},
};
use serde::{Serialize, de::DeserializeOwned};

/// An id, as its 16 bytes.
#[derive(Clone, Copy, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = Binary)]
pub(crate) struct Bits<T: Debug>(pub(crate) T);

/// A point in time, as milliseconds since 1970.
#[derive(Clone, Copy, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = BigInt)]
pub(crate) struct Millis(pub(crate) Timestamp);

/// A value, as the text that it prints.
#[derive(Clone, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct Printed<T: Debug>(pub(crate) T);

/// A value, as JSON.
#[derive(Clone, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct Json<T: Debug>(pub(crate) T);

/// An identifier, as `type:value`: one text, so that one index finds it.
#[derive(Clone, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct Named(pub(crate) Identifier);

/// A small number, which is never negative.
#[derive(Clone, Copy, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = BigInt)]
pub(crate) struct Count(pub(crate) u32);

/// A value that may be damaged, so that what is beside it can be read all the same.
#[derive(Clone, Debug, FromSqlRow)]
pub(crate) struct Doubtful<T: Debug>(pub(crate) Result<T, String>);

/// Why a certificate was revoked, as the code of RFC 5280 section 5.3.1.
#[derive(Clone, Copy, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = Integer)]
pub(crate) struct Reason(pub(crate) RevocationReason);

/// 128 bits that name something.
pub(crate) trait Id: Copy + Debug {
    fn from_bits(bits: [u8; 16]) -> Self;
    fn bits(&self) -> &[u8; 16];
}

macro_rules! ids {
    ($($id:ty),*) => {$(
        impl Id for $id {
            fn from_bits(bits: [u8; 16]) -> Self {
                Self::from_bytes(bits)
            }

            fn bits(&self) -> &[u8; 16] {
                self.as_bytes()
            }
        }
    )*};
}

ids!(AccountId, OrderId, AuthorizationId, ChallengeId, CertificateId, JobId, LeaseToken, RequestId);

impl<T: Id> ToSql<Binary, Sqlite> for Bits<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.bits().as_slice());
        Ok(IsNull::No)
    }
}

impl<T: Id> FromSql<Binary, Sqlite> for Bits<T> {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(T::from_bits(value.read_blob().try_into()?)))
    }
}

impl ToSql<BigInt, Sqlite> for Millis {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_millis());
        Ok(IsNull::No)
    }
}

impl FromSql<BigInt, Sqlite> for Millis {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(Timestamp::from_millis(value.read_long())))
    }
}

impl<T: Debug + Display> ToSql<Text, Sqlite> for Printed<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.to_string());
        Ok(IsNull::No)
    }
}

impl<T> FromSql<Text, Sqlite> for Printed<T>
where
    T: Debug + FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(value.read_text().parse()?))
    }
}

impl<T: Debug + Serialize> ToSql<Text, Sqlite> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}

impl<T: Debug + DeserializeOwned> FromSql<Text, Sqlite> for Json<T> {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_str(value.read_text())?))
    }
}

impl ToSql<Text, Sqlite> for Named {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(format!("{}:{}", self.0.kind(), self.0));
        Ok(IsNull::No)
    }
}

impl FromSql<Text, Sqlite> for Named {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let (kind, value) = value.read_text().split_once(':').ok_or("an identifier without a type")?;
        Ok(Self(Identifier::parse(kind, value)?))
    }
}

impl ToSql<BigInt, Sqlite> for Count {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(i64::from(self.0));
        Ok(IsNull::No)
    }
}

impl FromSql<BigInt, Sqlite> for Count {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(value.read_long().try_into()?))
    }
}

impl<T: Debug + FromSql<ST, Sqlite>, ST> FromSql<ST, Sqlite> for Doubtful<T> {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(T::from_sql(value).map_err(|error| error.to_string())))
    }
}

impl ToSql<Integer, Sqlite> for Reason {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(i32::from(self.0.code()));
        Ok(IsNull::No)
    }
}

impl FromSql<Integer, Sqlite> for Reason {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let code = u8::try_from(value.read_integer())?;
        Ok(Self(RevocationReason::try_from(code)?))
    }
}
