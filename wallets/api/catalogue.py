"""Every error code the API answers with: its HTTP status, its text, and what to do about it.

This module imports nothing, so that documents can be generated from it without a server.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    en: str
    fa: str

    def as_json(self) -> dict[str, str]:
        return {"en": self.en, "fa": self.fa}


@dataclass(frozen=True, slots=True)
class Entry:
    code: str
    status: int
    message: Text
    what_to_do: Text
    # The field or parameter an answer with this code is about, when there is always just one.
    field: str | None = None
    # Appears in ``data.errors`` of an answer, never as the code of the answer itself.
    of_field: bool = False
    # Seconds a client should wait before it tries again; sent as Retry-After.
    retry_after: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "status": self.status,
            "of_field": self.of_field,
            "message": self.message.as_json(),
            "what_to_do": self.what_to_do.as_json(),
        }


_RETRY_SAFELY = Text(
    "Wait as long as Retry-After says and repeat the request with the same Idempotency-Key; "
    "the outcome is unknown until it has been answered.",
    "به اندازهٔ Retry-After صبر کنید و همان درخواست را با همان Idempotency-Key تکرار کنید؛ "
    "تا وقتی پاسخ نگیرید نتیجه معلوم نیست.",
)
_WRITE_AMOUNT_PLAINLY = Text(
    "Send the amount in minor units as a bare JSON integer with the digits 0-9, "
    "for example 150000.",
    "مبلغ را به واحد خُرد و به صورت عدد صحیح JSON با رقم‌های 0 تا 9 بفرستید، برای نمونه 150000.",
)
_TIME_EXAMPLE = Text(
    "Write it like 2030-01-31T09:00:00Z or 2030-01-31T12:30:00+03:30; "
    "in a query string write the plus sign as %2B.",
    "آن را مانند 2030-01-31T09:00:00Z یا 2030-01-31T12:30:00+03:30 بنویسید؛ "
    "در query string علامت جمع را %2B بنویسید.",
)
_FIX_BODY = Text(
    "Send one JSON object, encoded in UTF-8, with Content-Type: application/json.",
    "یک شیء JSON با کدگذاری UTF-8 و سرآیند Content-Type: application/json بفرستید.",
)

_ENTRIES = (
    # --- The request as a whole ------------------------------------------------------------------
    Entry(
        "bad_request",
        400,
        Text("The request could not be understood.", "درخواست قابل فهم نیست."),
        Text("Compare the request with the API documentation.", "درخواست را با مستندات بسنجید."),
    ),
    Entry(
        "host_not_allowed",
        400,
        Text("This host name is not served here.", "این نام میزبان در اینجا سرویس داده نمی‌شود."),
        Text(
            "Use the address you were given; operators list it in ALLOWED_HOSTS.",
            "نشانی اعلام‌شده را به کار ببرید؛ متصدی سامانه آن را در ALLOWED_HOSTS می‌آورد.",
        ),
    ),
    Entry(
        "malformed_json",
        400,
        Text("The body is not valid JSON.", "بدنهٔ درخواست JSON معتبر نیست."),
        _FIX_BODY,
    ),
    Entry(
        "number_not_plain",
        400,
        Text(
            "A number in the body is written with Persian or Arabic digits or with separators.",
            "عددی در بدنهٔ درخواست با رقم‌های فارسی یا عربی یا با جداکننده نوشته شده است.",
        ),
        _WRITE_AMOUNT_PLAINLY,
    ),
    Entry(
        "json_too_deep",
        400,
        Text("The body is nested too deeply.", "بدنهٔ درخواست بیش از حد تودرتو است."),
        _FIX_BODY,
    ),
    Entry(
        "body_not_utf8",
        400,
        Text("The body is not encoded in UTF-8.", "بدنهٔ درخواست با UTF-8 کدگذاری نشده است."),
        _FIX_BODY,
    ),
    Entry(
        "body_incomplete",
        400,
        Text("The body ended too early.", "بدنهٔ درخواست ناقص رسید."),
        Text(
            "Send as many bytes as Content-Length announces.",
            "به همان تعداد بایتی که Content-Length اعلام می‌کند بفرستید.",
        ),
    ),
    Entry(
        "body_not_object",
        400,
        Text("The body must be a JSON object.", "بدنهٔ درخواست باید یک شیء JSON باشد."),
        _FIX_BODY,
    ),
    Entry(
        "duplicate_key",
        400,
        Text("A field appears twice in the body.", "یک فیلد دو بار در بدنهٔ درخواست آمده است."),
        Text("Send every field once.", "هر فیلد را یک بار بفرستید."),
    ),
    Entry(
        "validation_error",
        400,
        Text("Some of the data sent is not valid.", "برخی از داده‌های ارسالی معتبر نیست."),
        Text(
            "Each item of data.errors names a field and its problem; correct them all.",
            "هر عضو data.errors یک فیلد و ایراد آن را نام می‌برد؛ همه را اصلاح کنید.",
        ),
    ),
    # --- One field -------------------------------------------------------------------------------
    Entry(
        "required",
        400,
        Text("This field is required.", "این فیلد الزامی است."),
        Text("Send the field.", "این فیلد را بفرستید."),
        of_field=True,
    ),
    Entry(
        "unknown_field",
        400,
        Text("There is no such field or parameter.", "چنین فیلد یا پارامتری وجود ندارد."),
        Text(
            "Remove it, or correct its name; names are case-sensitive.",
            "آن را بردارید یا نامش را اصلاح کنید؛ بزرگی و کوچکی حروف مهم است.",
        ),
        of_field=True,
    ),
    Entry(
        "repeated_parameter",
        400,
        Text("The parameter was given more than once.", "این پارامتر بیش از یک بار آمده است."),
        Text("Give every parameter once.", "هر پارامتر را یک بار بفرستید."),
        of_field=True,
    ),
    Entry(
        "amount_not_integer",
        400,
        Text("The amount must be a whole number.", "مبلغ باید عدد صحیح باشد."),
        _WRITE_AMOUNT_PLAINLY,
        of_field=True,
    ),
    Entry(
        "amount_has_fraction",
        400,
        Text(
            "The amount must be written without a decimal point or an exponent.",
            "مبلغ باید بدون ممیز و بدون نمای علمی نوشته شود.",
        ),
        _WRITE_AMOUNT_PLAINLY,
        of_field=True,
    ),
    Entry(
        "amount_is_text",
        400,
        Text(
            "The amount was sent as text; it must be a number.",
            "مبلغ به صورت متن فرستاده شده است؛ باید عدد باشد.",
        ),
        _WRITE_AMOUNT_PLAINLY,
        of_field=True,
    ),
    Entry(
        "amount_has_foreign_digits",
        400,
        Text(
            "The amount is written with Persian, Arabic or other digits than 0-9.",
            "مبلغ با رقم‌های فارسی، عربی یا رقم‌هایی جز 0 تا 9 نوشته شده است.",
        ),
        _WRITE_AMOUNT_PLAINLY,
        of_field=True,
    ),
    Entry(
        "amount_has_separators",
        400,
        Text(
            "The amount is written with thousands separators.",
            "مبلغ با جداکنندهٔ هزارگان نوشته شده است.",
        ),
        _WRITE_AMOUNT_PLAINLY,
        of_field=True,
    ),
    Entry(
        "amount_out_of_range",
        400,
        Text(
            "The amount must be between 1 and 9223372036854775807.",
            "مبلغ باید بین 1 و 9223372036854775807 باشد.",
        ),
        Text("Send a positive amount in minor units.", "مبلغی مثبت و به واحد خُرد بفرستید."),
        of_field=True,
    ),
    Entry(
        "currency_invalid",
        400,
        Text(
            "The currency must be a code of ISO 4217, such as IRR.",
            "ارز باید یک کد ISO 4217 مانند IRR باشد.",
        ),
        Text(
            "Send three capital letters. Toman has no code: convert the amount to rials "
            "and send IRR.",
            "سه حرف بزرگ لاتین بفرستید. تومان کد ندارد: مبلغ را به ریال تبدیل کنید و IRR بفرستید.",
        ),
        of_field=True,
    ),
    Entry(
        "time_invalid",
        400,
        Text(
            "The time must be an ISO 8601 date and time.",
            "زمان باید تاریخ و ساعت به شکل ISO 8601 باشد.",
        ),
        _TIME_EXAMPLE,
        of_field=True,
    ),
    Entry(
        "time_without_offset",
        400,
        Text("The time must say its offset from UTC.", "زمان باید اختلافش با UTC را هم بگوید."),
        _TIME_EXAMPLE,
        of_field=True,
    ),
    Entry(
        "time_out_of_range",
        400,
        Text(
            "The time lies outside the years 1 to 9999 in UTC.",
            "زمان بیرون از سال‌های 1 تا 9999 به وقت UTC است.",
        ),
        Text("Send a nearer time.", "زمان نزدیک‌تری بفرستید."),
        of_field=True,
    ),
    Entry(
        "idempotency_key_invalid",
        400,
        Text(
            "The Idempotency-Key must have 1 to 128 printable ASCII characters.",
            "سرآیند Idempotency-Key باید 1 تا 128 نویسهٔ چاپی ASCII داشته باشد.",
        ),
        Text(
            "Use a UUID, a new one for every new intent.",
            "یک UUID به کار ببرید و برای هر خواستهٔ تازه یکی نو بسازید.",
        ),
        of_field=True,
    ),
    Entry(
        "limit_invalid",
        400,
        Text(
            "The limit must be a whole number from 1 to 100.",
            "مقدار limit باید عدد صحیحی از 1 تا 100 باشد.",
        ),
        Text("Send a limit in range, or none.", "مقداری در این بازه بفرستید یا اصلاً نفرستید."),
        of_field=True,
    ),
    Entry(
        "balance_invalid",
        400,
        Text(
            "The balance must be a whole number from 0 to 9223372036854775807.",
            "موجودی باید عدد صحیحی از 0 تا 9223372036854775807 باشد.",
        ),
        Text(
            "Send minor units with the digits 0-9 and nothing else.",
            "مبلغ را به واحد خُرد و فقط با رقم‌های 0 تا 9 بفرستید.",
        ),
        of_field=True,
    ),
    Entry(
        "choice_invalid",
        400,
        Text("The value is not one of the choices.", "این مقدار از گزینه‌های مجاز نیست."),
        Text(
            "Use one of the documented values, written as they are.",
            "یکی از مقدارهای مستندشده را به همان شکل بفرستید.",
        ),
        of_field=True,
    ),
    Entry(
        "cursor_invalid",
        400,
        Text(
            "The cursor was not issued for this list.", "این نشانگر برای این فهرست صادر نشده است."
        ),
        Text(
            "Follow data.next and data.previous as they are; start again without a cursor.",
            "data.next و data.previous را همان‌گونه که هستند دنبال کنید؛ "
            "برای آغاز از نو نشانگر نفرستید.",
        ),
        of_field=True,
    ),
    Entry(
        "items_invalid",
        400,
        Text(
            "The items must be an array of 1 to 1000 JSON objects.",
            "مقدار items باید آرایه‌ای از 1 تا 1000 شیء JSON باشد.",
        ),
        Text(
            "Send objects with wallet and amount, and split what is longer.",
            "شیءهایی با wallet و amount بفرستید و آنچه را بلندتر است چند بخش کنید.",
        ),
        of_field=True,
    ),
    Entry(
        "wallet_invalid",
        400,
        Text(
            "The wallet must be given by its id or its uuid.",
            "کیف پول باید با شناسه یا uuid آن مشخص شود.",
        ),
        Text(
            "Use the id or the uuid from the answer that created the wallet.",
            "شناسه یا uuid پاسخِ ساخت کیف پول را به کار ببرید.",
        ),
        of_field=True,
    ),
    # --- What the domain refuses -----------------------------------------------------------------
    Entry(
        "currency_mismatch",
        409,
        Text("The currency is not the wallet's currency.", "این ارز، ارز کیف پول نیست."),
        Text(
            "Convert the amount to the currency of the wallet, or use another wallet.",
            "مبلغ را به ارز کیف پول تبدیل کنید یا کیف پول دیگری به کار ببرید.",
        ),
        field="currency",
    ),
    Entry(
        "execute_at_not_in_future",
        400,
        Text("The execution time must be in the future.", "زمان اجرا باید در آینده باشد."),
        Text(
            "Send a later time; data.database_time is the clock that decides.",
            "زمان دیرتری بفرستید؛ ساعت ملاک در data.database_time آمده است.",
        ),
        field="execute_at",
    ),
    Entry(
        "moment_in_future",
        400,
        Text("That moment has not come yet.", "آن زمان هنوز نرسیده است."),
        Text(
            "Ask for an earlier moment, or leave it out; data.database_time is the clock that "
            "decides.",
            "زمان زودتری بخواهید یا آن را ننویسید؛ ساعت ملاک در data.database_time آمده است.",
        ),
    ),
    Entry(
        "period_reversed",
        400,
        Text("The period ends before it begins.", "پایان این بازه پیش از آغاز آن است."),
        Text("Let to be later than from.", "to را دیرتر از from بگذارید."),
    ),
    Entry(
        "balance_overflow",
        409,
        Text(
            "The deposit would exceed the largest balance a wallet can hold.",
            "این واریز از بیشترین موجودی ممکن کیف پول فراتر می‌رود.",
        ),
        Text(
            "Deposit less, or into another wallet.",
            "مبلغ کمتری واریز کنید یا کیف پول دیگری به کار ببرید.",
        ),
        field="amount",
    ),
    Entry(
        "balance_limit_exceeded",
        409,
        Text(
            "The deposit would exceed what this wallet may hold.",
            "این واریز از سقف موجودی این کیف پول فراتر می‌رود.",
        ),
        Text(
            "Deposit less, or ask the operator; data.limit is the most it may hold.",
            "مبلغ کمتری واریز کنید یا با متصدی سامانه تماس بگیرید؛ "
            "data.limit بیشترین موجودی مجاز است.",
        ),
        field="amount",
    ),
    Entry(
        "withdrawal_limit_exceeded",
        409,
        Text(
            "The withdrawal is larger than one may be.",
            "مبلغ این برداشت از سقف هر برداشت بیشتر است.",
        ),
        Text(
            "Withdraw less at a time; data.limit is the most for one withdrawal.",
            "در هر بار مبلغ کمتری برداشت کنید؛ data.limit سقف هر برداشت است.",
        ),
        field="amount",
    ),
    Entry(
        "daily_limit_exceeded",
        409,
        Text(
            "The withdrawals of that day would exceed the limit for a day.",
            "جمع برداشت‌های آن روز از سقف روزانه فراتر می‌رود.",
        ),
        Text(
            "Withdraw less or on another day (UTC); data.planned is what that day has already.",
            "مبلغ کمتری یا در روز دیگری (به وقت UTC) برداشت کنید؛ "
            "data.planned جمع برداشت‌های آن روز است.",
        ),
        field="amount",
    ),
    Entry(
        "bulk_refused",
        409,
        Text(
            "At least one deposit was refused, so none was made.",
            "دست‌کم یک واریز پذیرفته نشد، پس هیچ‌یک انجام نشد.",
        ),
        Text(
            "data.results has those that were refused; correct or remove them, or use the mode "
            "each.",
            "واریزهای ردشده در data.results آمده است؛ آن‌ها را اصلاح یا حذف کنید، "
            "یا mode را each بگذارید.",
        ),
    ),
    Entry(
        "withdrawal_not_cancellable",
        409,
        Text(
            "The withdrawal cannot be cancelled any more.",
            "این برداشت دیگر قابل لغو نیست.",
        ),
        Text(
            "Only a SCHEDULED withdrawal can be cancelled; data.status is what it is now.",
            "فقط برداشتی که SCHEDULED است لغوشدنی است؛ وضعیت کنونی در data.status آمده است.",
        ),
    ),
    Entry(
        "withdrawal_not_reschedulable",
        409,
        Text(
            "The withdrawal cannot be moved to another time any more.",
            "زمان این برداشت دیگر قابل تغییر نیست.",
        ),
        Text(
            "Only a SCHEDULED withdrawal can be moved; data.status is what it is now.",
            "فقط زمانِ برداشتی که SCHEDULED است تغییرپذیر است؛ وضعیت کنونی در data.status آمده است.",
        ),
    ),
    Entry(
        "request_in_progress",
        409,
        Text(
            "A request with this Idempotency-Key is still running.",
            "درخواستی با همین Idempotency-Key هنوز در حال اجراست.",
        ),
        Text(
            "Wait as long as Retry-After says and repeat the same request.",
            "به اندازهٔ Retry-After صبر کنید و همان درخواست را تکرار کنید.",
        ),
        retry_after=1,
    ),
    Entry(
        "idempotency_key_reused",
        422,
        Text(
            "This Idempotency-Key was used before with a different request.",
            "این Idempotency-Key پیش‌تر با درخواست دیگری به کار رفته است.",
        ),
        Text(
            "data.fields names what differs. Repeat the first request unchanged, "
            "or use a new key for a new intent.",
            "data.fields تفاوت‌ها را نام می‌برد. درخواست نخست را بی‌تغییر تکرار کنید "
            "یا برای خواستهٔ تازه کلید تازه بسازید.",
        ),
    ),
    # --- Who asks, and for what ------------------------------------------------------------------
    Entry(
        "authentication_required",
        401,
        Text("Valid credentials are required.", "اعتبارنامهٔ معتبر لازم است."),
        Text(
            "Send a valid API key in the Authorization header.",
            "کلید API معتبر را در سرآیند Authorization بفرستید.",
        ),
    ),
    Entry(
        "api_key_invalid",
        401,
        Text("The API key is not valid.", "کلید API معتبر نیست."),
        Text(
            "Check that the whole key was sent; ask the operator whether it was revoked, has "
            "expired or was rotated.",
            "بررسی کنید که کلید کامل فرستاده شده باشد؛ از متصدی سامانه بپرسید که آیا کلید باطل، "
            "منقضی یا تعویض شده است.",
        ),
    ),
    Entry(
        "scope_missing",
        403,
        Text("The API key does not allow this.", "این کلید API چنین اجازه‌ای ندارد."),
        Text(
            "Ask the operator for a key with the scope named in the answer.",
            "از متصدی سامانه کلیدی با دامنهٔ دسترسی نام‌برده در پاسخ بخواهید.",
        ),
    ),
    Entry(
        "permission_denied",
        403,
        Text("This is not allowed with these credentials.", "با این اعتبارنامه مجاز نیست."),
        Text(
            "Ask the operator for the permission that is missing.",
            "مجوز لازم را از متصدی سامانه بخواهید.",
        ),
    ),
    Entry(
        "https_required",
        403,
        Text("This address is served over HTTPS only.", "این نشانی فقط با HTTPS در دسترس است."),
        Text(
            "Repeat the request over HTTPS, and replace any secret that was sent in the clear.",
            "درخواست را با HTTPS تکرار کنید و هر رازی را که آشکار فرستاده شده عوض کنید.",
        ),
    ),
    Entry(
        "not_found",
        404,
        Text("There is nothing at this address.", "در این نشانی چیزی نیست."),
        Text(
            "Check the path; every path ends with a slash.",
            "مسیر را بررسی کنید؛ همهٔ مسیرها با / پایان می‌یابند.",
        ),
    ),
    Entry(
        "wallet_not_found",
        404,
        Text("The wallet was not found.", "کیف پول پیدا نشد."),
        Text(
            "Use the id or the uuid from the answer that created the wallet.",
            "شناسه یا uuid پاسخِ ساخت کیف پول را به کار ببرید.",
        ),
    ),
    Entry(
        "withdrawal_not_found",
        404,
        Text("The wallet has no such withdrawal.", "این کیف پول چنین برداشتی ندارد."),
        Text(
            "Use the id from the answer that scheduled it, with the wallet it was scheduled for.",
            "شناسهٔ پاسخِ زمان‌بندی را همراه با کیف پول همان برداشت به کار ببرید.",
        ),
    ),
    Entry(
        "method_not_allowed",
        405,
        Text("This method is not allowed here.", "این متد در این نشانی مجاز نیست."),
        Text("The Allow header lists the methods.", "متدهای مجاز در سرآیند Allow آمده است."),
    ),
    Entry(
        "not_acceptable",
        406,
        Text("The requested format is not available.", "قالب درخواستی در دسترس نیست."),
        Text("Ask for application/json.", "application/json درخواست کنید."),
    ),
    Entry(
        "length_required",
        411,
        Text("The body must come with its length.", "طول بدنهٔ درخواست باید اعلام شود."),
        Text(
            "Send Content-Length instead of Transfer-Encoding: chunked.",
            "به جای Transfer-Encoding: chunked سرآیند Content-Length را بفرستید.",
        ),
    ),
    Entry(
        "body_too_large",
        413,
        Text("The body is too large.", "بدنهٔ درخواست بیش از حد بزرگ است."),
        Text("Send at most data.max_bytes bytes.", "بیش از data.max_bytes بایت نفرستید."),
    ),
    Entry(
        "unsupported_media_type",
        415,
        Text(
            "The body must be sent as application/json.",
            "بدنهٔ درخواست باید application/json باشد.",
        ),
        Text(
            "Send Content-Type: application/json, uncompressed and in UTF-8.",
            "سرآیند Content-Type: application/json را، بدون فشرده‌سازی و با UTF-8، بفرستید.",
        ),
    ),
    Entry(
        "too_many_requests",
        429,
        Text("Too many requests.", "شمار درخواست‌ها بیش از حد است."),
        Text("Wait as long as Retry-After says.", "به اندازهٔ Retry-After صبر کنید."),
        retry_after=1,
    ),
    # --- Our side --------------------------------------------------------------------------------
    Entry(
        "internal_error",
        500,
        Text("Something went wrong on our side.", "خطایی در سمت ما رخ داد."),
        Text(
            "Repeat the request later with the same Idempotency-Key, and tell the operator "
            "the time it happened.",
            "بعداً همان درخواست را با همان Idempotency-Key تکرار کنید و زمان رخداد را به متصدی "
            "سامانه بگویید.",
        ),
    ),
    Entry(
        "database_unavailable",
        503,
        Text("The service is temporarily unavailable.", "سرویس موقتاً در دسترس نیست."),
        _RETRY_SAFELY,
        retry_after=2,
    ),
)

CATALOGUE = {entry.code: entry for entry in _ENTRIES}
