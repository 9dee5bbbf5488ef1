@file:Suppress("unused", "UNUSED_PARAMETER", "PropertyName")

package android.os

object Build {
    @JvmField val SUPPORTED_ABIS: Array<String> = emptyArray()
}
