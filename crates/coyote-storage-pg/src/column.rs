//! How the values of records are kept in columns, and read back. What cannot be read back is damage, not a guess.

use std::{
    fmt::{Debug, Display},
    io::Write,
    str::FromStr,
};

use coyote_protocol::{Identifier, RevocationReason, Timestamp};
use coyote_storage::{
    AccountId, AuthorizationId, CertificateId, ChallengeId, JobId, LeaseToken, OrderId, RequestId,
};
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{BigInt, Binary, SmallInt, Text},
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
#[diesel(sql_type = SmallInt)]
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

impl<T: Id> ToSql<Binary, Pg> for Bits<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0.bits())?;
        Ok(IsNull::No)
    }
}

impl<T: Id> FromSql<Binary, Pg> for Bits<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(T::from_bits(value.as_bytes().try_into()?)))
    }
}

impl ToSql<BigInt, Pg> for Millis {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<BigInt, Pg>::to_sql(&self.0.as_millis(), &mut out.reborrow())
    }
}

impl FromSql<BigInt, Pg> for Millis {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Timestamp::from_millis(<i64 as FromSql<BigInt, Pg>>::from_sql(value)?)))
    }
}

impl<T: Debug + Display> ToSql<Text, Pg> for Printed<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write!(out, "{}", self.0)?;
        Ok(IsNull::No)
    }
}

impl<T> FromSql<Text, Pg> for Printed<T>
where
    T: Debug + FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(text(&value)?.parse()?))
    }
}

impl<T: Debug + Serialize> ToSql<Text, Pg> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        serde_json::to_writer(out, &self.0)?;
        Ok(IsNull::No)
    }
}

impl<T: Debug + DeserializeOwned> FromSql<Text, Pg> for Json<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_slice(value.as_bytes())?))
    }
}

impl ToSql<Text, Pg> for Named {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write!(out, "{}:{}", self.0.kind(), self.0)?;
        Ok(IsNull::No)
    }
}

impl FromSql<Text, Pg> for Named {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let (kind, value) = text(&value)?.split_once(':').ok_or("an identifier without a type")?;
        Ok(Self(Identifier::parse(kind, value)?))
    }
}

impl ToSql<BigInt, Pg> for Count {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<BigInt, Pg>::to_sql(&i64::from(self.0), &mut out.reborrow())
    }
}

impl FromSql<BigInt, Pg> for Count {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(<i64 as FromSql<BigInt, Pg>>::from_sql(value)?.try_into()?))
    }
}

impl<T: Debug + FromSql<ST, Pg>, ST> FromSql<ST, Pg> for Doubtful<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(T::from_sql(value).map_err(|error| error.to_string())))
    }
}

impl ToSql<SmallInt, Pg> for Reason {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<SmallInt, Pg>::to_sql(&i16::from(self.0.code()), &mut out.reborrow())
    }
}

impl FromSql<SmallInt, Pg> for Reason {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let code = u8::try_from(<i16 as FromSql<SmallInt, Pg>>::from_sql(value)?)?;
        Ok(Self(RevocationReason::try_from(code)?))
    }
}

fn text<'a>(value: &'a PgValue<'_>) -> Result<&'a str, std::str::Utf8Error> {
    std::str::from_utf8(value.as_bytes())
}

/// Whether PostgreSQL can have this text. It has all but one character: nothing that it has is equal to a text with
/// that in it, and to ask it for one is an error.
pub(crate) fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}
